"""What was asked of the server, counted per verb and resource."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Request:
    """``resource`` carries its subresource (``pods/log``); ``status`` is 0 until it is answered."""

    verb: str
    resource: str
    namespace: str
    name: str
    user: str = ""
    query: dict[str, str] = field(default_factory=dict)
    status: int = 0
    at: float = field(default_factory=time.monotonic)


class Requests(list[Request]):
    """All requests in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self.open_watches = 0
        self._lock = threading.Lock()

    def count(self, verb: str = "", resource: str = "", user: str = "") -> int:
        return sum(
            verb in ("", request.verb) and resource in ("", request.resource) and user in ("", request.user)
            for request in list(self)
        )

    def watch_opened(self, by: int) -> None:
        with self._lock:
            self.open_watches += by
