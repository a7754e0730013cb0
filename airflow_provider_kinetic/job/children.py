"""Processes that the user's code forks off, such as those that load data, and SIGTERM.

Whoever starts them ends them by it and waits until they have. With a handler of ours, made for the process that trains,
they would hear it, live on, and be waited for without end.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def spare_children(restore: Callable[[], None]) -> None:
    """Have each child that this process forks off call ``restore``, which gives SIGTERM back its meaning.

    One that comes before waits until then: Python forgets what a child hears while it is made.
    """
    mask = threading.local()

    def hold() -> None:
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def begin() -> None:
        restore()
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=begin)
