"""Calls that wait for a network at the same time, so that they cost one round trip and not one each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AT_ONCE = 32
"""Of one group of calls: a list of a thousand `Data` must not become a thousand threads."""


def together(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, in their order; up to :data:`AT_ONCE` run at a time.

    The first that raises, in that order, decides. Whoever is interrupted meanwhile, by a time limit or a signal, is not
    kept waiting for the others: they end by themselves.
    """
    if len(calls) == 1:
        return [calls[0]()]
    pool = ThreadPoolExecutor(min(len(calls), AT_ONCE), thread_name_prefix="kinetic")
    try:
        waiting = [pool.submit(call) for call in calls]
        return [future.result() for future in waiting]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
