"""Rows that are not in the store yet, in files that outlive the process that logged them.

A process that is killed, runs out of memory or stays in C cannot send anything any more; the supervisor beside it can,
if it finds the rows (``checkpointing`` 3.8). A row that both have sent counts once, so the two need not agree.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import warnings
from pathlib import Path
from typing import BinaryIO

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Storage

_numbers = itertools.count(1)
"""Of this process: a trial that is opened again must not take a file for its own that still has to be sent."""


class Spool:
    """Of one process. Without a folder nothing is kept: there is nobody who would look."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: list[Path] = []
        """The last one is written to."""
        self._stream: BinaryIO | None = None
        """Of the last one alone: a store that is away for a day must not cost the training its open files."""
        self._lock = threading.RLock()  # a handler of a signal may log, too

    def append(self, line: bytes) -> None:
        """It outlives the process from now on. A disk that is full is a warning, once; training goes on."""
        if self._folder is None:
            return
        try:
            with self._lock:
                if self._stream is None:
                    self._begin()
                assert self._stream is not None
                self._stream.write(line)
        except OSError as error:
            self._give_up(error)

    def turn(self) -> None:
        """Lines go to another file from now on; :meth:`clear` is about those before."""
        if self._folder is None:
            return
        try:
            with self._lock:
                self._begin()
        except OSError as error:
            self._give_up(error)

    def clear(self) -> None:
        """The lines before the last turn are in the store."""
        self._drop(1)

    def close(self) -> None:
        """All lines are in the store."""
        self._drop(0)

    def _begin(self) -> None:
        assert self._folder is not None
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{os.getpid()}-{next(_numbers):08d}.jsonl"
        if self._stream is not None:
            self._stream.close()
        self._stream = path.open("ab", buffering=0)
        self._files.append(path)

    def _give_up(self, error: OSError) -> None:
        self._folder = None
        text = f"Metrics of the last seconds will be lost if this process is killed: {error}"
        with contextlib.suppress(Warning):  # where warnings are errors
            warnings.warn(text, stacklevel=5)

    def _drop(self, left: int) -> None:
        with self._lock:
            if not left and self._stream is not None:
                self._stream.close()
                self._stream = None
            while len(self._files) > left:
                with contextlib.suppress(OSError):  # what is sent once more counts once
                    self._files.pop(0).unlink()


def send_rest(storage: Storage, layout: TrialLayout, attempt: int, folder: Path, number: int) -> None:
    """Store what a worker has not sent, as one more segment. Nothing happens where nothing is left.

    :param number: each call for an attempt has its own.
    """
    parts = []
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # the worker has just sent it
            data = path.read_bytes()
            parts.append(data[: data.rfind(b"\n") + 1])
    content = b"".join(parts)
    if content:
        storage.write(layout.rest(attempt, number), content)
