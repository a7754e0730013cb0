"""Garbage of one test, collected without a look at everything that was imported before: that takes 100 ms each time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected() -> Iterator[None]:
    """At the end all that came since the beginning and is not in use any more is gone, cycles too."""
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()
