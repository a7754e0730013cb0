"""Calls that wait for a network at the same time, so that they cost one round trip and not one each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def together(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, in their order; each runs in a thread of its own.

    The first that raises, in that order, decides. Whoever is interrupted meanwhile, by a time limit or a signal, is not
    kept waiting for the others: they end by themselves.
    """
    if len(calls) == 1:
        return [calls[0]()]
    pool = ThreadPoolExecutor(len(calls), thread_name_prefix="kinetic")
    try:
        waiting = [pool.submit(call) for call in calls]
        return [future.result() for future in waiting]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
