"""One kind of object, followed for ever: a LIST in pages, then a WATCH from there, again and again.

What breaks watches in practice is handled here and nowhere else: a version that is too old (410, as answer and as
event), a server that wants to be left alone (429) or is away, connections that are reset, cut in the middle of a line
or fall silent, tokens that have ended. Every pause grows and is random, so that many triggerers do not come back
at one moment. See "Efficient detection of changes" in Kubernetes' API concepts.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast

import httpx

from airflow_provider_kinetic.clusters import kubernetes_api as api
from airflow_provider_kinetic.clusters.kubernetes_api import paths
from airflow_provider_kinetic.clusters.kubernetes_errors import unreadable, untrusted
from airflow_provider_kinetic.clusters.watch_cache import LISTED
from airflow_provider_kinetic.clusters.watch_objects import Object, Reader, Shape
from airflow_provider_kinetic.model.errors import ClusterError, InfrastructureError, KineticError
from airflow_provider_kinetic.model.kubernetes.objects import entries, section, text, whole

log = logging.getLogger(__name__)

BOOKMARK = "BOOKMARK"
CONNECT = httpx.Timeout(None, connect=10.0)
PLAIN = {"Accept-Encoding": "identity"}
TURN = 0.001
"""Seconds that a stream works without letting others have the event loop."""
EXPIRED = httpx.codes.GONE


@dataclass(frozen=True)
class Timing:
    """All in seconds."""

    page: int = 100
    """Objects in a page: some 500 KB, so that reading it does not hold up the event loop for long."""
    watch: float = 300.0
    """After this the server ends a watch; up to a fifth less, so that watches do not end together."""
    silence: float = 150.0
    """A connection that says nothing for so long is dead: servers send a bookmark every minute."""
    resync: float = 1800.0
    """Between two listings although nothing was missed."""
    pause: float = 0.5
    """After a first failure; doubled with each further one."""
    longest_pause: float = 30.0
    answer: float = 30.0
    """How long a follower waits for the first listing."""
    lost: float = 300.0
    """A server that has said nothing for so long is reported to those who follow jobs."""
    evidence: float = 1.0
    """How long the pods' stream may be behind the Jobs' before pods are asked for."""
    unwatched: float = 30.0
    """Between two requests for a Job that the watch does not know, because it lacks the label."""
    events: float = 2.0
    """Between two requests for events, whatever the number of waiting jobs."""
    explain: float = 30.0
    """Between two looks at the events of one waiting job."""


TIMING = Timing()


class ServerClock:
    """The server's clock: ours, which nobody sets, with the difference that the last answer showed."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def hear(self, response: httpx.Response) -> None:
        try:
            date = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return
        self._ahead = date + 0.5 - time.monotonic()  # it is given in whole seconds

    def now(self) -> float:
        return self._ahead + time.monotonic()


class Sink(Protocol):
    """Who is told of objects."""

    def tell(self, kind: str, raw: Any, /) -> None:
        """``kind`` is ADDED, MODIFIED, DELETED or LISTED."""

    def only(self, names: set[str], /) -> None:
        """A listing is complete."""


class _Expired(ClusterError):
    """The version is too old to go on from."""


class Feed:
    """One endless task, :meth:`run`. Whether it hears anything is written in :attr:`heard_at`.

    :param what: the resource in RBAC's words, ``jobs.batch``.
    :param shape: what is read of each object.
    :param stirred: called when somebody who follows a job should know: first listing, lost, found again.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        path: str,
        what: str,
        namespace: str,
        shape: Shape,
        sink: Sink,
        timing: Timing,
        clock: ServerClock,
        stirred: Callable[[], None],
    ) -> None:
        self._client, self._path, self._what, self._namespace = client, path, what, namespace
        self._reader = Reader(shape)
        self._sink, self._timing, self._clock, self._stirred = sink, timing, clock, stirred
        self._version = ""
        self._listed_at = 0.0
        self._failures = 0
        self._wanted = 0.0
        self._told = False
        """Those who follow know of the problem."""
        self.heard_at = time.monotonic()
        self.synced = False
        self.lost = False
        self.problem: InfrastructureError | None = None
        """Why it hears nothing at present."""
        self.refused = False
        """The server has answered, with a no, or is not the right one."""

    async def run(self) -> None:
        while True:
            try:
                await self._round()
            except Exception as error:  # whatever it is, the next round may fare better
                await asyncio.sleep(self._failed(error))

    async def _round(self) -> None:
        if not self._version or time.monotonic() - self._listed_at > self._timing.resync:
            await self._list()
        await self._watch()

    async def _list(self) -> None:
        self._version = ""
        names: set[str] = set()
        after = ""
        while True:
            query = paths.page(paths.JOBS, after, self._timing.page)
            response = await self._client.get(self._path, params=query)
            page = self._read(self._answered(response, "list"))
            for item in entries(page, "items"):
                names.add(text(item, "metadata", "name"))
                self._sink.tell(LISTED, item)
            after = text(page, "metadata", "continue")
            if not after:
                break
        self._sink.only(names)
        self._version = text(page, "metadata", "resourceVersion")
        self._listed_at = time.monotonic()
        self._heard()

    def _read(self, response: httpx.Response) -> Object:
        try:
            return self._reader.page(response.content)
        except ValueError:
            raise unreadable(str(response.url), f"list {self._what}") from None

    async def _watch(self) -> None:
        began = time.monotonic()
        seconds = max(1, int(self._timing.watch * random.uniform(0.8, 1.0)))
        query = paths.watch(paths.JOBS, self._version, seconds)
        request = self._client.build_request("GET", self._path, params=query, headers=PLAIN, timeout=CONNECT)
        async with alive(self._timing.silence) as sign:
            response = await self._client.send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    self._version = self._version if response.status_code == httpx.codes.TOO_MANY_REQUESTS else ""
                self._answered(response, "watch")
                self._heard()
                async with aclosing(lines(response)) as incoming:
                    async for line in incoming:
                        sign.heard()
                        self._event(self._reader.event(line))
            finally:
                await response.aclose()
        self._works()
        await asyncio.sleep(self._timing.pause - (time.monotonic() - began))  # where every watch ends at once

    def _answered(self, response: httpx.Response, verb: str) -> httpx.Response:
        self._clock.hear(response)
        if response.status_code == EXPIRED:
            raise _Expired(f"The API server calls every listing of {self._what} too old.")
        if not response.is_success:
            self.refused = response.is_client_error and not api.passing(response.status_code)
            self._wanted = api.retry_after(response) or 0.0
        api.explained(response, f"{verb} {self._what}", self._namespace)
        return response

    def _event(self, event: Object) -> None:
        kind, obj = text(event, "type"), section(event, "object")
        if kind == "ERROR":
            if whole(obj, "code") == EXPIRED:
                raise _Expired(f"The API server calls every listing of {self._what} too old.")
            self._version = ""
            raise ClusterError(f"The watch of {self._what} broke off: {text(obj, 'message')}")
        self._heard()
        self._works()
        self._version = text(obj, "metadata", "resourceVersion") or self._version
        if kind != BOOKMARK:
            self._sink.tell(kind, obj)

    def _heard(self) -> None:
        """The server has answered with what was asked for."""
        self.heard_at = time.monotonic()
        news = self.lost or not self.synced
        self.synced, self.lost, self.refused, self._told = True, False, False, False
        if news:
            self._stirred()

    def _works(self) -> None:
        """Watching works. A listing does not prove that: pauses would never grow where only watches are refused."""
        self._failures, self.problem = 0, None

    def _failed(self, error: Exception) -> float:
        """Seconds to wait before the next round."""
        pause = min(self._timing.longest_pause, self._timing.pause * 2.0**self._failures) * random.uniform(0.5, 1.0)
        wanted, self._wanted = self._wanted, 0.0
        self._failures = min(self._failures + 1, 30)
        if isinstance(error, _Expired):
            self._version = ""
            if self._failures == 1:
                return 0.0
        self._report(error)
        return max(pause, wanted)

    def _report(self, error: Exception) -> None:
        level = logging.WARNING if self.problem is None else logging.DEBUG
        self.problem = problem_of(error, str(self._client.base_url), f"watch {self._what}")
        self.refused = self.refused or untrusted(error)
        log.log(level, "%s; going on", self.problem.summary)
        quiet = time.monotonic() - self.heard_at
        if quiet > self._timing.lost / 3 or isinstance(error, TimeoutError):
            self._version = ""  # where no stream gets through, listings tell what happens
        self.lost = quiet > self._timing.lost
        hopeless = self.lost or (self.refused and not self.synced)
        if hopeless and not self._told:
            self._stirred()
        self._told = hopeless


def problem_of(error: Exception, server: str, what: str) -> InfrastructureError:
    """Any failure as one that is worth another try."""
    if isinstance(error, InfrastructureError):
        return error
    if isinstance(error, KineticError):
        return ClusterError(error.summary, advice=error.advice)
    if isinstance(error, httpx.HTTPError | OSError):
        return api.unreachable(server, what, error)
    return ClusterError(f"{server} could not be asked to {what}: {type(error).__name__}: {error}")


class _Sign:
    """Of life."""

    alarm: asyncio.TimerHandle

    def __init__(self) -> None:
        self.heard()

    def heard(self) -> None:
        self.at = time.monotonic()


@asynccontextmanager
async def alive(silence: float) -> AsyncIterator[_Sign]:
    """Ends what is done in here after ``silence`` seconds without a sign.

    A timeout of the client would set and clear an alarm for each of the thousands of reads in a burst of changes.

    :raises TimeoutError: it was silent for so long.
    """
    loop, sign = asyncio.get_running_loop(), _Sign()

    def look() -> None:
        left = sign.at + silence - time.monotonic()
        if left <= 0:
            limit.reschedule(loop.time())
        else:
            sign.alarm = loop.call_later(left, look)

    try:
        async with asyncio.timeout(None) as limit:
            look()
            yield sign
    except TimeoutError:
        raise TimeoutError(f"silence for {silence:g} s") from None
    finally:
        sign.alarm.cancel()


async def lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Whole lines as they come. Only LF ends one: texts of pods may hold what Unicode calls a line break."""
    rest = b""
    turn = time.monotonic()
    async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as chunks:
        async for chunk in chunks:
            *ended, rest = (rest + chunk).split(b"\n")
            for line in ended:
                if line.strip():
                    yield line
            if time.monotonic() - turn > TURN:  # a flood of changes lets others have their turn
                await asyncio.sleep(0)
                turn = time.monotonic()
