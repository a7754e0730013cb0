"""Enough of a trial's rows for charts, in one object that is small however long the trial is.

It grows with the rows, so that keeping it up to date costs what is new and not what there is. What the rows of an
attempt take away from earlier ones cannot be taken out of it again: ``overlaps`` says when to make another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from airflow_provider_kinetic.job.training.numbers import as_json, as_number
from airflow_provider_kinetic.job.training.series import Row

POINTS = 1000
"""At most so many of one curve."""
ALL_POINTS = 50_000
"""Of all curves together, where that leaves each a line to draw (:data:`FEW`): about a megabyte."""
FEW = 50


class Curve:
    """One name of one group: figures of all its values, and a thinned line to draw."""

    def __init__(self) -> None:
        self.count = 0
        self._least = math.inf
        self._most = -math.inf
        self._points: list[tuple[int, Any]] = []
        self._end: tuple[float, Any] = (-math.inf, None)
        self._stride = 1

    def add(self, step: int, value: Any) -> None:
        """Steps go up; the same one again is another value for it."""
        number = as_number(value)
        if number is not None and not math.isnan(number):
            self._least, self._most = min(self._least, number), max(self._most, number)
        point = step, as_json(value)
        again = step == self._end[0]
        if again and self._points[-1][0] == step:
            self._points[-1] = point
        elif not again and self.count % self._stride == 0:
            self._points.append(point)
            if len(self._points) == POINTS:
                self._points, self._stride = self._points[::2], self._stride * 2
        self.count += not again
        if step >= self._end[0]:
            self._end = point

    def to_dict(self, most: int) -> dict[str, Any]:
        """With about ``most`` points, the first and the last among them."""
        points = sorted(self._points[:: -(-len(self._points) // most)], key=lambda point: point[0])
        if points[-1] != self._end:
            points.append(self._end)  # type: ignore[arg-type]  # there is one
        known = self._least <= self._most
        return {
            "count": self.count,
            "last": self._end[1],
            "min": as_json(self._least) if known else None,
            "max": as_json(self._most) if known else None,
            "points": points,
        }


class Summary:
    """As one attempt sees it.

    :param told: rows that count until now, those of earlier attempts first.
    """

    def __init__(self, attempt: int, told: Iterable[Row] = ()) -> None:
        self._attempt = attempt
        self._curves: dict[str, Curve] = {}
        self._step = -1, 0
        """Of the newest attempt that has logged any, and which one that is: earlier ones may have come further."""
        self._inherited: dict[str, int] = {}
        """Where the values of earlier attempts end, by curve."""
        self.overlaps = False
        """A row was added that replaces one of an earlier attempt."""
        self.add(told)
        self.overlaps = False

    def add(self, rows: Iterable[Row]) -> None:
        """In the order of logging."""
        for row in rows:
            self._step = max(self._step, (row.attempt, row.step))
            for name, value in row.values.items():
                curve = f"{row.group}/{name}"
                if row.attempt != self._attempt:
                    self._inherited[curve] = max(row.step, self._inherited.get(curve, row.step))
                self.overlaps = self.overlaps or row.step <= self._inherited.get(curve, -1)
                self._curves.setdefault(curve, Curve()).add(row.step, value)

    def to_dict(self) -> dict[str, Any]:
        most = max(FEW, min(POINTS, ALL_POINTS // max(1, len(self._curves))))
        return {
            "step": self._step[1],
            "series": {name: curve.to_dict(most) for name, curve in sorted(self._curves.items())},
        }
