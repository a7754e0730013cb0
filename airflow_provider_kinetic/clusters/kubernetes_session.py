"""Asking one API server, and again where it did not answer: blocking, with an end.

Reads and deletions may be repeated as they are. A creation may have been done although its answer was lost, so the
answer tells whether there is that doubt; only the caller knows its own object again.
"""

from __future__ import annotations

import builtins
import itertools
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.clusters import kubernetes_paths as paths
from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.kubernetes_api import (
    explained,
    not_found,
    passing,
    read,
    retry_after,
    server_time,
)
from airflow_provider_kinetic.clusters.kubernetes_errors import unreachable, untrusted
from airflow_provider_kinetic.model.kubernetes.objects import entries, text

PATIENCE = 90.0
"""Seconds for which a request that fails for a passing reason is repeated: a control plane that is upgraded."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_INTERNAL_ERRORS = 3
"""Times that 500 is taken for passing: a webhook that restarts is, an object that etcd does not take is not."""
_RESTARTS = 3
"""Times that a listing begins again because its pages have expired."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Answer:
    """``doubtful``: an earlier request of the same call may have been done as well."""

    response: httpx.Response
    doubtful: bool = False

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def time(self) -> float:
        """The server's clock, Unix seconds."""
        return server_time(self.response)


@dataclass(frozen=True)
class Listing:
    """All pages of a list, and the server's clock at the last one."""

    items: list[Mapping[str, Any]]
    time: float


class Session:
    """Requests to the API server of ``access``; thread-safe.

    :param patience: seconds for which a request that fails for a passing reason is repeated.
    :param page: objects in one page of a listing.
    """

    def __init__(self, access: Access, *, patience: float = PATIENCE, page: int = paths.PAGE) -> None:
        self.access = access
        self.patience = patience
        self.page = page

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """The answer to one request.

        :param what: verb and resource, for messages: ``create jobs.batch``.
        :param accept: status codes beside success that the caller handles.
        :raises ClusterError: as ``kubernetes_api.explained``, or there was no answer within the patience.
        """

        def send() -> httpx.Response:
            return clients.client(self.access).request(method, path, params=query, json=body)

        return self.insist(send, path, what, accept)

    def insist(self, send: Callable[[], httpx.Response], path: str, what: str, accept: Collection[int]) -> Answer:
        """Call ``send``, which makes one request and reads its answer, until it succeeds; raises like :meth:`ask`."""
        give_up = time.monotonic() + self.patience
        doubtful, internal = False, 0
        for attempt in itertools.count():
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                response = send()
            except httpx.RequestError as error:
                if untrusted(error) or time.monotonic() + pause > give_up:
                    raise unreachable(self.access.server, what, error) from error
                doubtful |= not isinstance(error, _NEVER_SENT)
            else:
                if response.is_success or response.status_code in accept:
                    return Answer(response, doubtful)
                internal += response.status_code == httpx.codes.INTERNAL_SERVER_ERROR
                pause = max(pause, retry_after(response) or 0.0)
                again = passing(response.status_code) or 0 < internal < _INTERNAL_ERRORS
                if not again or time.monotonic() + pause > give_up:
                    explained(response, what, paths.namespace_of(path))
                doubtful |= response.is_server_error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def find(self, path: str, what: str) -> tuple[dict[str, Any] | None, float]:
        """The object at ``path``, None where there is none, and the server's clock."""
        answer = self.ask("GET", path, what, accept=(httpx.codes.NOT_FOUND,))
        if not_found(answer.response):
            return None, answer.time
        return read(answer.response, what, paths.namespace_of(path)), answer.time

    def list(self, path: str, what: str, query: Mapping[str, str]) -> Listing:
        """All objects of a listing; ``query`` without ``continue``."""
        for restart in itertools.count():
            accept = (httpx.codes.GONE,) if restart < _RESTARTS else ()
            found = self._pages(path, what, query, accept)
            if found is not None:
                return found
        raise AssertionError("unreachable")

    def _pages(self, path: str, what: str, query: Mapping[str, str], accept: Collection[int]) -> Listing | None:
        """None where the pages expired before the last one was read."""
        items: builtins.list[Mapping[str, Any]] = []
        asked = dict(query)
        while True:
            answer = self.ask("GET", path, what, query=asked, accept=accept)
            if answer.status == httpx.codes.GONE:
                return None
            page = read(answer.response, what)
            items += entries(page, "items")
            asked["continue"] = text(page, "metadata", "continue")
            if not asked["continue"]:
                return Listing(items, answer.time)
