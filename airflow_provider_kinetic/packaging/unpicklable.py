"""Which piece of a call cannot be pickled, in the user's words.

A pickler's own error says "cannot pickle '_thread.lock' object" and not where it was met. Here every piece is tried
alone, from the outside inwards, until the smallest one that fails has a name.
"""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cloudpickle

from airflow_provider_kinetic.model.errors import SerializationError
from airflow_provider_kinetic.packaging.modules import top_level
from airflow_provider_kinetic.packaging.pickling import ParcelPickler
from airflow_provider_kinetic.packaging.plan import plain_function
from airflow_provider_kinetic.packaging.reach import attribute_paths

_DEPTH = 8
"""Steps inwards: deep enough for a name that helps."""


class _Nowhere:
    """A stream that forgets."""

    def write(self, data: bytes) -> int:
        return len(data)


def explain(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], failure: Exception
) -> SerializationError:
    """The error that names the piece. Call it where the modules to pickle by value are still registered."""
    try:
        where, culprit = _locate(func, args, kwargs)
    except Exception:  # objects that fail when they are pickled may also fail when they are looked at
        where, culprit = f"the call of {_name(func)}", None
    reason = str(failure) or type(failure).__name__
    return SerializationError(f"Cannot pickle {where}: {reason}", advice=_advice(where, culprit, failure))


def _locate(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
    pieces: list[tuple[str, Any]] = [(f"argument {index}", value) for index, value in enumerate(args)]
    pieces += [(f"keyword argument {name!r}", value) for name, value in kwargs.items()]
    for where, value in pieces:
        if not _pickles(value):
            inner, culprit = _innermost(value)
            return f"{where}{inner} of {_name(func)}", culprit
    return _of_function(func, set())


def _of_function(func: Any, seen: set[int]) -> tuple[str, Any]:
    """Where in a function, and what. Follows helper functions."""
    seen.add(id(func))
    for where, value in _parts(func):
        if id(value) in seen or _pickles(value):
            continue
        if isinstance(value, types.FunctionType):
            deeper, culprit = _of_function(value, seen)
            if culprit is not value:
                return deeper, culprit
        inner, culprit = _innermost(value)
        return f"{where}{inner} of {_name(func)}", culprit
    return f"the function {_name(func)}", func


def _parts(func: Any) -> Iterator[tuple[str, Any]]:
    """What a function carries along, with the user's word for each."""
    if isinstance(func, types.FunctionType):
        yield from _parts_of_code(func)
    elif isinstance(func, types.MethodType):
        yield "the object `self`", func.__self__
        yield from _parts(func.__func__)
    elif isinstance(func, functools.partial):
        yield from ((f"bound argument {index}", value) for index, value in enumerate(func.args))
        yield from ((f"bound keyword argument {name!r}", value) for name, value in func.keywords.items())
        yield from _parts(func.func)
    else:
        yield from ((f"attribute {name!r}", value) for name, value in getattr(func, "__dict__", {}).items())
        if isinstance(plain := plain_function(func), types.FunctionType):
            yield from _parts_of_code(plain)


def _parts_of_code(func: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=False):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    positional = func.__code__.co_varnames[: func.__code__.co_argcount]
    defaults = dict(zip(reversed(positional), reversed(func.__defaults__ or ()), strict=False))
    for name, value in {**defaults, **(func.__kwdefaults__ or {})}.items():
        yield f"default of parameter {name!r}", value
    names = _names(func.__code__)
    for name, value in func.__globals__.items():
        if name in names:
            yield from _parts_of_global(func.__code__, name, value)
    for name, value in func.__dict__.items():
        yield f"attribute {name!r}", value


def _parts_of_global(code: types.CodeType, name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Of the user's modules only what the code uses, as the payload has it."""
    paths = attribute_paths(code, name) if isinstance(value, types.ModuleType) else None
    if not paths or value.__name__ not in cloudpickle.list_registry_pickle_by_value():
        yield f"global variable {name!r}", value
        return
    for path in sorted(paths):
        if hasattr(value, path[0]):
            yield f"global variable {f'{name}.{path[0]}'!r}", getattr(value, path[0])


def _names(code: types.CodeType) -> set[str]:
    nested = [_names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*nested)


def _innermost(value: Any) -> tuple[str, Any]:
    """The path inside a value to the smallest piece that fails, such as ``['model'].lock``."""
    path = ""
    for _ in range(_DEPTH):
        step = next(((name, item) for name, item in _items(value) if not _pickles(item)), None)
        if step is None:
            break
        path, value = path + step[0], step[1]
    return path, value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif not isinstance(value, (type, types.FunctionType, types.ModuleType)):
        yield from ((f".{name}", item) for name, item in getattr(value, "__dict__", {}).items())


def _pickles(value: Any) -> bool:
    try:
        ParcelPickler(_Nowhere()).dump(value)
    except Exception:
        return False
    return True


def _name(func: Any) -> str:
    inner = plain_function(func)
    return f"{getattr(inner, '__name__', type(inner).__name__)}()"


def _advice(where: str, culprit: Any, failure: Exception) -> str:
    if isinstance(failure, RecursionError) or isinstance(failure.__cause__, RecursionError):
        return "It is nested too deeply, or refers to itself in a way that never ends: pass a flatter form of it."
    kind = type(culprit)
    module = kind.__module__
    if top_level(module) == "airflow":
        return _advice_for_airflow(f"{module}.{kind.__qualname__}".lower())
    if isinstance(culprit, io.IOBase):
        return "Open the file inside the function, or pass its path or its content."
    if isinstance(culprit, (types.GeneratorType, types.AsyncGeneratorType, types.CoroutineType)):
        return "A running generator or coroutine cannot travel: pass `list(...)` of it, or make it inside the function."
    if module in ("_thread", "threading", "multiprocessing.synchronize", "asyncio.locks"):
        return "Locks and threads belong to one process: create it inside the function."
    if isinstance(culprit, types.ModuleType):
        return "Import the module inside the function."
    if where.startswith(("argument", "keyword")):
        return "Pass plain data, or what the function needs to make the object itself."
    return "Create it inside the function, or pass plain data as an argument."


def _advice_for_airflow(kind: str) -> str:
    if "hook" in kind or "connection" in kind:
        return (
            "Make the hook in another task, or pass the few values that the job needs: it has no Airflow connections."
        )
    return "Objects of Airflow stay here: pass the plain values that you need, such as `ds`, `run_id` or `params`."
