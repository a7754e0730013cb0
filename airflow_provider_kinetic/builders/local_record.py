"""One build of a local environment as a folder: the order, the log, how it ended, and a request to stop.

Whoever sees the folder knows how the build is, and the build needs nobody: it goes on when its starter is dead. That
it runs says the lock of its tag, which the kernel drops with the last process that works on it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.builders.locks import held
from airflow_provider_kinetic.job.storage import FileStorage, path_to_uri
from airflow_provider_kinetic.model.images import BuildState, ImageRequest

BUILDS = ".builds"
LOCKS = ".locks"
TAIL_LINES = 20
_TAIL_BYTES = 1 << 16
_KEPT = 3
GRACE = 60.0
"""Seconds in which a build whose time is over stops its installer and says how it ended."""


@dataclass(frozen=True)
class Order:
    """What to build: written once, by whoever starts it."""

    request: ImageRequest
    packages: tuple[str, ...]
    """Installed before the requirements."""
    id: str
    timeout: float
    """Seconds for the whole build."""
    by: str
    """Who started it, for people."""


@dataclass(frozen=True)
class BuildRecord:
    """The ``number``-th build of a tag below the builder's ``root``."""

    root: Path
    tag: str
    number: int

    @classmethod
    def create(cls, root: Path, order: Order) -> BuildRecord:
        """The next build of its tag; the caller holds the tag's lock. Records of long ago are removed."""
        numbers = list(_numbers(root, order.request.tag))
        for number in sorted(numbers)[:-_KEPT]:
            shutil.rmtree(cls(root, order.request.tag, number).folder, ignore_errors=True)
        record = cls(root, order.request.tag, max(numbers, default=0) + 1)
        record.folder.mkdir(parents=True)
        record.log.touch()
        record._write("order.json", asdict(order))
        return record

    @classmethod
    def newest(cls, root: Path, tag: str) -> BuildRecord | None:
        """The last build of a tag that was begun."""
        number = max(_numbers(root, tag), default=0)
        return cls(root, tag, number) if number else None

    @property
    def folder(self) -> Path:
        return self.root / BUILDS / self.tag / str(self.number)

    @property
    def environment(self) -> Path:
        return self.root / self.tag

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lock(self) -> Path:
        return lock_of(self.root, self.tag)

    @property
    def superseded(self) -> bool:
        """A later build of the tag was begun."""
        return max(_numbers(self.root, self.tag), default=0) > self.number

    @property
    def overdue(self) -> bool:
        """Its time, which its process keeps, was over :data:`GRACE` seconds ago."""
        order = self.order()
        return order is not None and time.time() - (self.folder / "order.json").stat().st_mtime > order.timeout + GRACE

    def running(self) -> bool:
        """Somebody works on this tag: this build, unless it is superseded."""
        return held(self.lock)

    def order(self) -> Order | None:
        """None where the record is gone, or its starter died while writing it."""
        raw = self._read("order.json")
        if raw is None:
            return None
        return Order(**{**raw, "request": ImageRequest(**raw["request"]), "packages": tuple(raw["packages"])})

    def end(self, state: BuildState, message: str = "") -> None:
        """Write down how it ended: the last thing that a build does before it gives back the lock."""
        self._write("end.json", {"state": state.value, "message": message})

    def ended(self) -> tuple[BuildState, str] | None:
        """How it ended, and why; None as long as it has not said so."""
        raw = self._read("end.json")
        return None if raw is None else (BuildState(raw["state"]), raw["message"])

    def ask_to_stop(self) -> None:
        """The build looks for this several times a second."""
        if self.folder.is_dir():
            (self.folder / "stop").touch()

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return "\n".join(deque(stream.read().decode("utf-8", "replace").splitlines(), lines))
        except FileNotFoundError:
            return ""

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / name).read_text("utf-8"))  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def _write(self, name: str, value: object) -> None:
        FileStorage().write(path_to_uri(self.folder / name), json.dumps(value).encode())


def lock_of(root: Path, tag: str) -> Path:
    """The file whose lock is held by whoever works on the environment of this tag."""
    return root / LOCKS / tag


def _numbers(root: Path, tag: str) -> Iterator[int]:
    try:
        names = os.listdir(root / BUILDS / tag)  # noqa: PTH208 (names alone)
    except FileNotFoundError:
        return
    yield from (int(name) for name in names if name.isdecimal())
