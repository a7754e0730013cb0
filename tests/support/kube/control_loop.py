"""One thread that brings objects to where they should be, as the controller manager and the scheduler do."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import traceback
from collections.abc import Iterable
from typing import Protocol

from kube.errors import Refusal
from kube.store import Change, Store

Key = tuple[str, str]
_RETRY = 0.1


class Controller(Protocol):
    def interested(self, change: Change) -> Iterable[Key]:
        """The objects (namespace, name) to look at because of a change; called under the store's lock."""

    def reconcile(self, key: Key) -> float | None:
        """Does what is to be done; seconds after which to look again, None: at the next change."""


class ControlLoop:
    """A refusal is tried again; any other exception is a fault of this test bed and kept in ``errors``."""

    def __init__(self, store: Store, controllers: Iterable[Controller]) -> None:
        self._store = store
        self._controllers = list(controllers)
        self._wake = threading.Condition()
        self._heap: list[tuple[float, int, int, Key]] = []
        self._due: dict[tuple[int, Key], float] = {}
        self._numbers = itertools.count()
        self._closed = False
        self.errors: list[str] = []
        store.listeners.append(self._on_change)
        self._thread = threading.Thread(target=self._run, name="kube-controllers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _on_change(self, change: Change) -> None:
        for number, controller in enumerate(self._controllers):
            for key in controller.interested(change):
                self._add(number, key, 0.0)

    def _add(self, number: int, key: Key, delay: float) -> None:
        at = time.monotonic() + delay
        with self._wake:
            if self._due.get((number, key), float("inf")) <= at:
                return
            self._due[number, key] = at
            heapq.heappush(self._heap, (at, next(self._numbers), number, key))
            self._wake.notify()

    def _next(self) -> tuple[int, Key] | None:
        with self._wake:
            while not self._closed:
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if left is not None and left <= 0:
                    at, _, number, key = heapq.heappop(self._heap)
                    if self._due.get((number, key)) == at:
                        del self._due[number, key]
                        return number, key
                    continue
                self._wake.wait(left)
        return None

    def _run(self) -> None:
        while (item := self._next()) is not None:
            number, key = item
            try:
                again = self._controllers[number].reconcile(key)
            except Refusal:
                again = _RETRY
            except Exception:
                self.errors.append(traceback.format_exc())
                again = None
            if again is not None:
                self._add(number, key, max(again, 0.01))
