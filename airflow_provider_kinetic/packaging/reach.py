"""Of a module that travels by value, only what the code uses.

``import helpers`` followed by ``helpers.load()`` makes the whole module a part of the function, and cloudpickle would
send all its globals: data, locks, clients, whatever else the file imports. The code says which attributes it reads, so
the job gets a module with just these.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]

_SILENT = frozenset({"EXTENDED_ARG", "CACHE", "NOP", "PUSH_NULL"})
_VARIABLE = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR")
_MISSING = object()


def attribute_paths(code: types.CodeType, name: str) -> set[Path] | None:
    """Attributes read from variable ``name``, as ``{("sub", "load")}``; None where the variable itself is handed on."""
    found: set[Path] = set()
    for block in _blocks(code):
        steps = [step for step in dis.get_instructions(block) if step.opname not in _SILENT]
        for index, step in enumerate(steps):
            if step.argval == name and step.opname.startswith(_VARIABLE):
                path = _path(steps[index + 1 :])
                if not path:
                    return None
                found.add(path)
    return found


def _path(steps: Iterable[dis.Instruction]) -> Path:
    path: Path = ()
    for step in steps:
        if step.opname not in _ATTRIBUTE:
            break
        path = (*path, step.argval)
    return path


def _blocks(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _blocks(constant)


@dataclass(frozen=True, eq=False)
class _Attribute:
    """An order to the unpickler: ``setattr(module, name, value)``."""

    module: types.ModuleType
    name: str
    value: Any


class ModuleParts:
    """Stand-ins for the user's modules within one pickle; every function adds the attributes that it uses."""

    def __init__(self, by_value: Iterable[str]) -> None:
        self._by_value = frozenset(by_value)
        self._parts: dict[str, types.ModuleType] = {}
        self._attributes: dict[tuple[str, str, bool], _Attribute] = {}

    @property
    def names(self) -> frozenset[str]:
        """Modules of which something was used so far."""
        return frozenset(self._parts)

    def reduce(self, obj: Any) -> Any:
        """The reduction of a stand-in or of one of its attributes; None for anything else."""
        if isinstance(obj, _Attribute):
            return setattr, (obj.module, obj.name, obj.value)
        if isinstance(obj, types.ModuleType) and self._parts.get(obj.__name__) is obj:
            return types.ModuleType, (obj.__name__,)
        return None

    def of_function(self, func: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> Any:
        """cloudpickle's state of a function, with stand-ins for the modules of which it uses attributes only."""
        attributes, slots = state
        orders: list[_Attribute] = []
        variables = {name: self._part(func, name, value, orders) for name, value in slots["__globals__"].items()}
        closure = slots["__closure__"]
        if closure is not None:
            closure = tuple(
                self._cell(func, name, cell, orders)
                for name, cell in zip(func.__code__.co_freevars, closure, strict=True)
            )
        submodules = [module for module in slots["_cloudpickle_submodules"] if module.__name__ not in self._by_value]
        changed = {"__globals__": variables, "__closure__": closure, "_cloudpickle_submodules": [*submodules, *orders]}
        return attributes, {**slots, **changed}

    def _cell(
        self, func: types.FunctionType, name: str, cell: types.CellType, orders: list[_Attribute]
    ) -> types.CellType:
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            return cell
        part = self._part(func, name, value, orders)
        return cell if part is value else types.CellType(part)

    def _part(self, func: types.FunctionType, name: str, value: Any, orders: list[_Attribute]) -> Any:
        if not self._is_divisible(value):
            return value
        paths = attribute_paths(func.__code__, name)
        if not paths:
            return value
        for path in sorted(paths):
            self._order(value, path, orders)
        return self._stand_in(value)

    def _order(self, module: types.ModuleType, path: Path, orders: list[_Attribute]) -> None:
        value: Any = getattr(module, path[0], _MISSING)
        if value is _MISSING:
            return
        inner = len(path) > 1 and self._is_divisible(value)
        key = (module.__name__, path[0], inner)
        if key not in self._attributes:
            sent = self._stand_in(value) if inner else value
            self._attributes[key] = _Attribute(self._stand_in(module), path[0], sent)
        orders.append(self._attributes[key])
        if inner:
            self._order(value, path[1:], orders)

    def _stand_in(self, module: types.ModuleType) -> types.ModuleType:
        return self._parts.setdefault(module.__name__, types.ModuleType(module.__name__))

    def _is_divisible(self, value: Any) -> bool:
        """One of the user's modules that does not compute its attributes."""
        return (
            isinstance(value, types.ModuleType)
            and value.__name__ in self._by_value
            and "__getattr__" not in vars(value)
        )
