"""How a script has ended that did not close its trial, as far as that can be known.

At its exit an interpreter still knows the exception that ended it, except ``SystemExit``, by which scripts give up as
well as finish. So it is noted with which status ``sys.exit`` was called, and looked at whether the script came to its
last line. Who raises ``SystemExit`` by itself leaves no trace of the status: nothing is said of such an end.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType

UNKNOWN = SystemExit("nobody knows with which status")
"""It did not come to its end, and that is all."""


class Ending:
    """Of this process's script; make one while it runs."""

    def __init__(self) -> None:
        self._outermost = _outermost()
        self._said: SystemExit | None = None
        self._leave, sys.exit = sys.exit, self._exit  # type: ignore[assignment]

    def error(self) -> BaseException | None:
        """What ended it, once the interpreter exits; None: it came to its end."""
        error: BaseException | None = getattr(sys, "last_value", None)
        if error is None and not self._finished():
            error = self._said or UNKNOWN
        return error

    def _exit(self, status: object = None, /) -> None:
        if threading.current_thread() is threading.main_thread():
            self._said = SystemExit(status)
        self._leave(status)  # type: ignore[arg-type]

    def _finished(self) -> bool:
        """Its last instruction is the one that returns; else an exception left it."""
        import dis  # 10 ms that a start does not pay for

        frame = self._outermost
        return frame is not None and dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN_")


def _outermost() -> FrameType | None:
    """Of the main thread, which may not be this one."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame
