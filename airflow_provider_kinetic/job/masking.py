"""The output of a job without its secrets, before anybody keeps or shows it.

Output comes in pieces that are cut anywhere. What may be the beginning of a secret waits for what follows it, and for
no longer: it is at most a part of one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_kinetic.job.redaction import MASK

LONGEST = 4096
"""Bytes of a beginning that are held back at most."""


class Masking:
    """Of one stream.

    :param hidden: what is replaced wherever it appears. None of it has a line end (``redaction``).
    """

    def __init__(self, hidden: Iterable[str]) -> None:
        self._hidden = [text.encode("utf-8", "surrogateescape") for text in hidden]
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown now."""
        if not self._hidden:
            return data
        data = self._held + data
        spans = list(_merged(sorted(self._spans(data))))
        known = spans[-1][1] if spans else 0
        shown = len(data) - self._begun(data[max(known, len(data) - LONGEST) :])
        self._held = data[shown:]
        return _masked(data[:shown], spans)

    def end(self) -> bytes:
        """What was held back: nothing followed."""
        held, self._held = self._held, b""
        return held

    def _spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        for text in self._hidden:
            at = data.find(text)
            while at >= 0:
                yield at, at + len(text)
                at = data.find(text, at + 1)

    def _begun(self, data: bytes) -> int:
        """Length of the longest end of ``data`` with which something hidden begins."""
        line = data[data.rfind(b"\n") + 1 :]
        ends = (line[at:] for at in range(len(line)))
        return next((len(end) for end in ends if any(text.startswith(end) for text in self._hidden)), 0)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Of secrets that overlap nothing is left between."""
    start = end = -1
    for first, last in spans:
        if first >= end:
            if end > 0:
                yield start, end
            start, end = first, last
        end = max(end, last)
    if end > 0:
        yield start, end


def _masked(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    parts, at = [], 0
    for start, end in spans:
        parts += [data[at:start], MASK.encode()]
        at = end
    return b"".join([*parts, data[at:]])
