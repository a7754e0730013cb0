"""Rows on their way from the training loop to the store.

``log`` only remembers, in a job also in a file that outlives the process; a thread writes. An object store cannot
append, so the thread rewrites a small object, the current segment, and begins another when it is large enough: what is
sent stays close to what was logged (``checkpointing`` 1.5). Readers are some seconds behind; before a checkpoint is
committed its rows are there.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.redaction import masked
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.training.series import Row, decode, stream_rows
from airflow_provider_kinetic.job.training.spool import Spool
from airflow_provider_kinetic.job.training.summary import Summary
from airflow_provider_kinetic.job.training.trouble import Trouble
from airflow_provider_kinetic.job.vaults import Vault

EVERY = 8.0
"""Seconds between two writes of a segment. The write takes some, too, and readers are at most ten behind."""
SUMMARY_EVERY = 30.0
SEGMENT = 256 << 10
"""Bytes from which on a segment is finished."""
CALM = 1.0
"""Seconds: Cloud Storage takes one write a second of one object."""
MOST = 500_000
"""Rows that may wait for a store that is away: some 100 MB."""
LONGEST = 500
"""Characters of a text."""

_PLAIN = (float, int, bool)


class Metrics:
    """Of one attempt. :meth:`log` may be called from any thread and never waits for the network.

    :param newest: says whether the attempt is: only that one may write the summary.
    :param starts: start records that are known already.
    :param spool: folder that the supervisor looks into; None where there is none.
    :param process: of several that log; the first one's rows are the series.
    """

    def __init__(
        self,
        vault: Vault,
        layout: TrialLayout,
        attempt: int,
        newest: Callable[[], bool],
        starts: dict[int, Mapping[str, Any]],
        spool: Path | None = None,
        process: int = 0,
    ) -> None:
        self._vault = vault
        self._layout = layout
        self._attempt = attempt
        self._newest = newest
        self._starts = starts
        self._process = process
        self._pid = os.getpid()
        self._spool = Spool(spool)
        self._pending: deque[bytes] = deque()
        """Lines: while the store is away there may be many."""
        self._segment = bytearray()
        self._number = 1
        self._made = False
        """The object of the current segment is ours."""
        self._unwritten = False
        self._written_at = -CALM
        self._summed = 0
        """So many bytes of the segment are in the summary."""
        self._summary: Summary | None = None
        self._summarized_at = 0.0
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = Trouble()
        self._loss = Trouble()

    def log(self, values: Mapping[str, Any], step: int, group: str) -> None:
        """:raises TypeError: a value is not a number, bool or text, or the step not a whole number.
        :raises ValueError: a group with a slash, or nobody would write it any more.
        """
        if self._closing.is_set() or os.getpid() != self._pid:
            raise ValueError(over(self._pid))
        if "/" in group:
            raise ValueError(f"group={group!r} has a slash, which parts a group from a name; names may have some")
        kept = {name: value if type(value) in _PLAIN else _scalar(name, value) for name, value in values.items()}
        try:
            number = operator.index(step)
        except TypeError:
            raise TypeError(f"step is a whole number, not {step!r}") from None
        line = Row(time.time(), number, group, kept).encode()
        if len(self._pending) >= MOST:
            self._lose(step)
            return
        self._pending.append(line)
        self._spool.append(line)
        if self._thread is None:
            self._begin()

    def flush(self) -> None:
        """All rows until now are in the store. Raises what the store raises; nothing is lost by that."""
        with self._writing:
            if not self._pending and not self._unwritten:
                return
            self._spool.turn()
            due = len(self._pending)  # others may log faster than the store takes it
            while due or self._unwritten:
                due -= self._take(due)
                self._write()
                self._unwritten, self._written_at = False, time.monotonic()
                if self._summary is not None:
                    self._summary.add(decode(bytes(self._segment[self._summed :]), self._attempt))
                self._summed = len(self._segment)
                if len(self._segment) >= SEGMENT:
                    self._next()
            self._spool.clear()
            self._loss.over()

    def close(self) -> None:
        """Write what is left, and the last summary."""
        self._closing.set()
        if self._thread is None:
            return
        self._thread.join()
        try:
            self.flush()
            self._spool.close()
            self.summarize()
        except Exception as error:  # the result of the training is worth more than its last rows
            warnings.warn(f"The last metrics could not be written: {error}", stacklevel=3)

    def summarize(self) -> None:
        """The first one reads what earlier attempts have written; so does one after rows that replace theirs."""
        self._summarized_at = time.monotonic()
        if not self._newest():
            return
        with self._writing:
            if self._summary is None or self._summary.overlaps:
                self._summary = Summary(self._attempt, stream_rows(self._vault, self._layout, self._starts))
            content = {"v": protocol.VERSION, "attempt": self._attempt, **self._summary.to_dict()}
        self._vault.write(self._layout.summary, json.dumps(content, separators=(",", ":")).encode())
        if not self._newest():  # cut off meanwhile: it may have replaced a newer one, and rows tell the same
            self._vault.delete(self._layout.summary)

    def _take(self, most: int) -> int:
        """Rows into the segment, until it is full; how many."""
        if self._segment and time.monotonic() - self._written_at < CALM and not self._unwritten:
            self._next()
        taken = 0
        while taken < most and len(self._segment) < SEGMENT:
            self._segment += self._pending.popleft()
            self._unwritten = True
            taken += 1
        return taken

    def _write(self) -> None:
        """A new segment takes no name that is taken: this attempt may have had another process, or another trial."""
        data = bytes(self._segment)
        while not self._made:
            uri = self._layout.segment(self._attempt, self._number, self._process)
            try:
                self._vault.write(uri, data, if_absent=True)
                self._made = True
                return
            except ObjectExists:
                self._made = data.startswith(self._vault.read(uri))  # then only the answer was lost
                if not self._made:
                    self._number = max(self._number, self._last()) + 1
        self._vault.write(self._layout.segment(self._attempt, self._number, self._process), data)

    def _last(self) -> int:
        folder = self._layout.segment(self._attempt, 1, self._process).rpartition("/")[0]
        stems = (uri.rpartition("/")[2].partition(".")[0] for uri in self._vault.list(f"{folder}/"))
        return max((int(stem) for stem in stems if stem.isdecimal()), default=0)

    def _next(self) -> None:
        self._number += 1
        self._made = False
        self._segment.clear()
        self._summed = 0

    def _begin(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kinetic-metrics", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        due = time.monotonic() + EVERY
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            due = time.monotonic() + EVERY  # what comes now may take long
            try:
                self.flush()
                if time.monotonic() - self._summarized_at >= SUMMARY_EVERY:
                    self.summarize()
                self._trouble.over()
            except Exception as error:
                self._trouble.told(f"Metrics could not be written and are tried again: {error}")
                due = time.monotonic() + EVERY

    def _lose(self, step: int) -> None:
        """The training needs its memory more than these rows."""
        text = f"Metrics are lost from step {step} on until the store is back: {MOST} rows wait for it already."
        self._loss.told(text, stacklevel=4)


def over(pid: int) -> str:
    """Why a trial of the process ``pid`` takes nothing more from this one."""
    if os.getpid() != pid:
        return "the trial belongs to the process that this one was forked from: log and save there"
    return "the trial is closed: log and save before, or ask job.trial() for another one"


def _scalar(name: str, value: Any) -> Any:
    plain = None
    with contextlib.suppress(TypeError, ValueError):  # an array of several, for one
        plain = as_json(value) if not isinstance(value, float) else value
    if isinstance(plain, str):
        return str(masked(plain, os.environ))[:LONGEST]
    if isinstance(plain, (float, int)):
        return plain
    raise TypeError(f"{name!r} is a {type(value).__name__}: a metric is a number, a bool or a short text")
