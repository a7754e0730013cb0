"""Single requests to Google's REST APIs, with the credentials of a connection.

A look that costs one request needs no client library: httpx is there anyhow, blocking and not.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.clusters.access import Bearer
from airflow_provider_kinetic.model.errors import InfrastructureError

if TYPE_CHECKING:
    from httpx import Response

    from airflow_provider_kinetic.hooks.google import Principal

TIMEOUT = 30.0
"""Seconds for one request."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each repetition of a request that failed for a passing reason."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_SAFE = frozenset({"GET", "DELETE"})
"""What may be sent twice."""


@dataclass(frozen=True)
class Service:
    """One of Google's APIs. ``override`` is gcloud's variable for another address of it."""

    title: str
    url: str
    override: str

    @property
    def address(self) -> str:
        return (os.environ.get(self.override) or self.url).rstrip("/")


class Refused(Exception):
    """The service answered and will not. Whoever asked knows what that means and what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class GoogleRest:
    """One service, asked by one identity.

    :param principal: gives the identity when the first request is made.
    """

    def __init__(self, service: Service, principal: Callable[[], Principal]) -> None:
        self._service = service
        self._principal = principal

    def ask(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The content of the answer.

        :raises Refused: the service does not do it.
        :raises InfrastructureError: the service does not answer.
        """
        import httpx

        principal, url = self._principal(), f"{self._service.address}/{path}"
        auth = Bearer(principal.tokens)
        with httpx.Client(headers=_quota(principal), auth=auth, timeout=TIMEOUT, verify=_tls()) as client:
            for pause in _pauses(method):
                try:
                    response = client.request(method, url, params=params, json=body)
                except httpx.HTTPError as error:
                    if pause is None:
                        raise self._away(error) from error
                else:
                    if pause is None or response.status_code not in _PASSING:
                        return self._content(response)
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    async def look(self, path: str) -> dict[str, Any]:
        """The same for one GET, awaited; asked once.

        :raises Refused: the service does not do it.
        :raises InfrastructureError: the service does not answer.
        """
        import httpx

        principal = await asyncio.to_thread(self._principal)
        tls = await asyncio.to_thread(_tls)
        async with httpx.AsyncClient(auth=Bearer(principal.tokens), timeout=TIMEOUT, verify=tls) as client:
            try:
                response = await client.get(f"{self._service.address}/{path}", headers=_quota(principal))
            except httpx.HTTPError as error:
                raise self._away(error) from error
        return self._content(response)

    def _content(self, response: Response) -> dict[str, Any]:
        if response.is_success:
            return dict(response.json()) if response.content else {}
        if response.status_code in _PASSING and response.status_code != 429:
            raise self._away(f"{response.status_code} {_message(response)}")
        raise Refused(response.status_code, _message(response))

    def _away(self, reason: object) -> InfrastructureError:
        said = (str(reason).strip() or type(reason).__name__).splitlines()[0][:300]
        host = self._service.address.partition("://")[2]
        return InfrastructureError(
            f"{self._service.title} does not answer: {said}",
            advice=f"Check the network between this machine and {host} (proxy, firewall), then retry;"
            " https://status.cloud.google.com says whether the service has trouble.",
        )


@cache
def _tls() -> ssl.SSLContext:
    """One for the process: reading the authorities takes 20 ms."""
    import httpx

    return httpx.create_ssl_context()


def _pauses(method: str) -> Iterator[float | None]:
    if method in _SAFE:
        yield from PAUSES
    yield None


def _quota(principal: Principal) -> dict[str, str]:
    quota = getattr(principal.credentials, "quota_project_id", None)
    return {"x-goog-user-project": quota} if quota else {}


def _message(response: Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase or "no reason given"
