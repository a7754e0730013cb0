"""Faults on request: what the next matching requests meet instead of a healthy server."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from kube.errors import Object, Refusal
from kube.requests import Request


@dataclass
class Fault:
    """Meets ``times`` requests of ``verb`` on ``resource`` (both empty: any; ``pods/log`` names a subresource).

    ``status``: answers so instead of doing it; ``drop``: closes the connection ``before`` it is done, ``after`` it
    (the reply is lost) or ``during`` the reply; ``delay``: seconds before anything; ``silent``: a watch or log that
    opens and never says a word; ``lag``: a watch that tells everything this many seconds late.
    """

    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    times: int = 1
    status: int = 0
    reason: str = ""
    message: str = ""
    retry_after: float | None = None
    drop: Literal["", "before", "after", "during"] = ""
    delay: float = 0.0
    silent: bool = False
    lag: float = 0.0

    def meets(self, request: Request) -> bool:
        wanted = (self.verb, self.resource, self.namespace, self.name)
        given = (request.verb, request.resource, request.namespace, request.name)
        return self.times > 0 and all(want in ("", have) for want, have in zip(wanted, given, strict=True))

    def refusal(self) -> Refusal:
        details: Object | None = None
        if self.retry_after is not None:
            details = {"retryAfterSeconds": int(self.retry_after)}
        message = self.message or f"{self.status} on request"
        return Refusal(self.status, message, reason=self.reason or None, details=details)


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def take(self, request: Request) -> Fault:
        """The first fault that waits for such a request; one without effect where there is none."""
        with self._lock:
            for fault in self._waiting:
                if fault.meets(request):
                    fault.times -= 1
                    return fault
        return Fault()

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
