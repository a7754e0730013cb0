"""A cloudpickle pickler that leaves Airflow at home.

cloudpickle is imported with this module, so import it only where something is pickled. Every rule here is a reduction:
neither the user's functions nor their arguments are changed or copied.
"""

from __future__ import annotations

import operator
import types
import typing
from collections.abc import Sequence
from typing import Any, Protocol

import cloudpickle

from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.packaging.modules import top_level
from airflow_provider_kinetic.packaging.reach import ModuleParts

SUBMITTERS_ONLY = frozenset({"airflow", "airflow_provider_kinetic"})


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class ParcelPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles one object; afterwards it knows what the pickle is made of."""

    def __init__(self, file: _Writable) -> None:
        super().__init__(file)
        self._parts = ModuleParts(cloudpickle.list_registry_pickle_by_value())
        self._defined_in: set[str] = set()
        self.airflow_names: set[str] = set()
        """Airflow's own names that the pickle refers to."""
        self.data: set[str] = set()
        """Paths of data that nobody replaced by a reference: it is no part of an argument."""

    @property
    def modules(self) -> set[str]:
        """Modules of which something went by value."""
        return self._defined_in | self._parts.names

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Data):
            self.data.add(obj.path)
        own = self._parts.reduce(obj) or _without_airflow(obj)
        if own is not None:
            return own
        reduced = super().reducer_override(obj)
        if isinstance(obj, (types.FunctionType, type)):
            if isinstance(reduced, tuple) and len(reduced) > 2:
                self._defined_in.add(obj.__module__)
                return (*reduced[:2], self._state(obj, reduced[2]), *reduced[3:])
            self._note_reference(obj.__module__, obj.__qualname__)
        elif isinstance(obj, types.ModuleType):
            self._note_reference(obj.__name__, "")
        return reduced

    def _state(self, obj: Any, state: Any) -> Any:
        state = _unannotated(state)
        return self._parts.of_function(obj, state) if isinstance(obj, types.FunctionType) else state

    def _note_reference(self, module: object, name: str) -> None:
        if isinstance(module, str) and top_level(module) == "airflow":
            self.airflow_names.add(f"{module}.{name}".rstrip("."))


def _is_of_airflow(kind: type) -> bool:
    module = getattr(kind, "__module__", None)
    return isinstance(module, str) and top_level(module) in SUBMITTERS_ONLY


def _without_airflow(obj: Any) -> Any:
    """The reduction of an object of Airflow to something that needs no Airflow; None where there is no such thing."""
    if not _is_of_airflow(type(obj)):
        return None
    function = getattr(obj, "function", None) if hasattr(type(obj), "_airflow_is_task_decorator") else None
    if callable(function):
        # The shortest call of the standard library whose value is the function itself.
        return operator.getitem, ((function,), 0)
    if isinstance(obj, Sequence) and not isinstance(obj, (list, tuple, str, bytes)):
        return list, (list(obj),)
    return None


def _unannotated(state: Any) -> Any:
    """The state of a function or class without annotations that would import Airflow. Copies what it changes."""
    if not isinstance(state, tuple):
        return state
    return tuple(
        {**part, "__annotations__": _portable(part["__annotations__"])}
        if isinstance(part, dict) and isinstance(part.get("__annotations__"), dict)
        else part
        for part in state
    )


def _portable(annotations: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in annotations.items() if not _names_airflow(value)}


def _names_airflow(annotation: Any) -> bool:
    if isinstance(annotation, (list, tuple)):  # the parameters of a Callable
        return any(_names_airflow(item) for item in annotation)
    module = getattr(annotation, "__module__", None)
    if isinstance(module, str) and top_level(module) in SUBMITTERS_ONLY:
        return True
    return any(
        _names_airflow(item) for item in (*typing.get_args(annotation), *getattr(annotation, "__metadata__", ()))
    )
