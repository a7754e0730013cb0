"""Values inside of containers: found in the arguments of a call, and replaced without changing the caller's objects.

The submitter puts references in the place of ``Data``, the job puts paths in the place of references. Both look into
lists, tuples, dicts, their subclasses and the fields of dataclasses (contract 6.3; the dataclasses are ours), and
nowhere else. Only containers on the way to such a value are copied: types, aliases and cycles stay as they were.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Union

_ATOMS = frozenset({str, int, float, bool, bytes, bytearray, complex, type(None)})

Step = Union[int, str]
Edge = tuple[Step, object]


class Irreplaceable(ValueError):
    """A wanted value sits where nothing can take its place. ``steps`` lead there from the root."""

    def __init__(self, reason: str, steps: tuple[Step, ...]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps = steps


class _Keys(tuple):  # type: ignore[type-arg]
    """The keys of a dict: like the members of a set, they cannot be replaced by something unhashable."""


class Nested:
    """What ``wanted`` says yes to, at any depth below ``root``.

    :param wanted: asked once for every object that is not plain text, number or bytes.
    :raises Irreplaceable: a wanted value is a member of a set or part of a dict's key.
    """

    def __init__(self, root: object, wanted: Callable[[object], bool]) -> None:
        self.found: list[Any] = []
        """Each object once, by identity, in the order of the containers."""
        self.flattened: list[str] = []
        """After :meth:`replaced`: names of container types that had to become plain ones."""
        self._root = root
        self._wanted = wanted
        self._objects: dict[int, object] = {}
        self._parents: dict[int, list[int]] = {}
        self._first: dict[int, tuple[int, Step]] = {}
        if _holds(root, wanted):
            self._walk()
        self._touched = self._containers_of_found()
        self._refuse_sealed()

    def replaced(self, replacement: Callable[[Any], object]) -> Any:
        """The root with a replacement for every value found; the root itself where nothing was found.

        :raises Irreplaceable: a container that contains itself through a tuple.
        """
        return _Copy(self._touched, {id(value): replacement(value) for value in self.found}, self).of(self._root)

    def steps_to(self, value: object) -> tuple[Step, ...]:
        """The first way from the root to an object of the walk, by index, key or field name."""
        steps: list[Step] = []
        at = id(value)
        while at in self._first:
            at, step = self._first[at]
            steps.append(step)
        return tuple(reversed(steps))

    def _walk(self) -> None:
        self._objects[id(self._root)] = self._root
        pending = [(id(self._root), _edges(self._root))]
        while pending:
            parent, edges = pending[-1]
            for step, child in edges:
                known = id(child) in self._objects
                self._parents.setdefault(id(child), []).append(parent)
                if known:
                    continue
                self._objects[id(child)] = child
                self._first[id(child)] = (parent, step)
                if self._wanted(child):
                    self.found.append(child)
                elif (below := _edges(child)) is not _NONE:
                    pending.append((id(child), below))
                    break
            else:
                pending.pop()

    def _containers_of_found(self) -> set[int]:
        touched: set[int] = set()
        pending = [id(value) for value in self.found]
        while pending:
            for parent in self._parents.get(pending.pop(), ()):
                if parent not in touched:
                    touched.add(parent)
                    pending.append(parent)
        return touched

    def _refuse_sealed(self) -> None:
        for key in self._touched:
            value = self._objects[key]
            if isinstance(value, _Keys):
                raise Irreplaceable("the key of a dict", self.steps_to(value))
            if isinstance(value, (set, frozenset)):
                raise Irreplaceable("a member of a set", self.steps_to(value))


class _Copy:
    """One pass that rebuilds the containers of ``touched``."""

    def __init__(self, touched: set[int], replacements: dict[int, object], nested: Nested) -> None:
        self._touched = touched
        self._done = replacements
        self._open: list[object] = []
        self._nested = nested

    def of(self, value: object) -> object:
        if id(value) in self._touched:
            self._refuse_cycle(value)
        elif id(value) not in self._done:
            return value
        if id(value) in self._done:
            return self._done[id(value)]
        self._open.append(value)
        new = self._tuple(value) if isinstance(value, tuple) else self._filled(value)
        self._open.pop()
        self._done[id(value)] = new
        return new

    def _refuse_cycle(self, value: object) -> None:
        """A tuple is made after its members, so it cannot be one of their members."""
        for index, container in enumerate(self._open):
            if container is value and any(isinstance(inner, tuple) for inner in self._open[index:]):
                raise Irreplaceable("inside of a container that contains itself", self._nested.steps_to(value))

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        items = tuple(self.of(item) for item in value)
        if type(value) is tuple:
            return items
        try:
            new = tuple.__new__(type(value), items)  # named tuples too, without asking their constructors
        except TypeError:
            self._nested.flattened.append(type(value).__qualname__)
            return items
        if hasattr(value, "__dict__"):
            vars(new).update(vars(value))
        return new

    def _filled(self, value: Any) -> Any:
        """A copy that is known before it is filled: it may contain itself."""
        new = self._done[id(value)] = self._shallow(value)
        if isinstance(value, list):
            for index, item in enumerate(list.__iter__(value)):
                list.__setitem__(new, index, self.of(item))
        elif isinstance(value, dict):
            for key, item in dict.items(value):
                dict.__setitem__(new, key, self.of(item))
        else:
            for name, item in _fields(value):
                object.__setattr__(new, name, self.of(item))
        return new

    def _shallow(self, value: Any) -> Any:
        """``copy.copy``, or the plain type where a subclass does not copy well."""
        plain = next((kind for kind in (list, dict) if isinstance(value, kind)), None)
        if plain is None:
            return copy.copy(value)
        try:
            new = copy.copy(value)
            if type(new) is type(value) and plain.__len__(new) == plain.__len__(value):
                return new
        except Exception:  # a subclass that cannot be made the usual way
            pass
        self._nested.flattened.append(type(value).__qualname__)
        return plain(plain.items(value) if plain is dict else plain.__iter__(value))


def _holds(root: object, wanted: Callable[[object], bool]) -> bool:
    """Whether there is anything to find: without the ways there a look is several times as fast, and mostly enough."""
    seen: dict[int, object] = {}
    pending = [root]
    while pending:
        value = pending.pop()
        if type(value) in _ATOMS or id(value) in seen:
            continue
        if wanted(value):
            return True
        seen[id(value)] = value
        if isinstance(value, dict):
            pending += value
            pending += dict.values(value)
        elif isinstance(value, (list, tuple, set, frozenset)):
            pending += value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            pending += (item for _, item in _fields(value))
    return False


_NONE: Iterator[Edge] = iter(())


def _edges(value: object) -> Iterator[Edge]:
    """Steps to what is worth a look inside of a container; :data:`_NONE` for what is not a container."""
    if isinstance(value, dict):
        return _dict_edges(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return ((index, item) for index, item in enumerate(value) if type(item) not in _ATOMS)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((name, item) for name, item in _fields(value) if type(item) not in _ATOMS)
    return _NONE


def _dict_edges(value: dict[Any, Any]) -> Iterator[Edge]:
    keys = _Keys(key for key in value if type(key) not in _ATOMS)
    if keys:
        yield "keys", keys
    for key, item in dict.items(value):
        if type(item) not in _ATOMS:
            yield (key if isinstance(key, (int, str)) else repr(key)), item


def _fields(value: Any) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            yield field.name, getattr(value, field.name)
