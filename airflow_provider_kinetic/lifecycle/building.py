"""Waiting for an image that somebody builds, as effects for either driver.

Whoever waits holds a :class:`~airflow_provider_kinetic.model.images.Build` and nothing else, so the wait goes on
wherever a worker or a triggerer died. A build that failed has failed for everybody who waits for it. One that was
*cancelled* was not wanted by one task alone: the others demand it anew, from the request that lies beside the claims
of the tag, where any observer finds it. The request is not in the arguments of a trigger: lines of requirements may
hold passwords of package indexes, and those arguments are stored in clear text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_kinetic.job.redaction import without_logins
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing
from airflow_provider_kinetic.lifecycle.effects import (
    EXECUTION_TIMEOUT,
    SHORTEST_PAUSE,
    ExecutionTimeout,
    Pause,
    Say,
    Wait,
    insist,
)
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.diagnosis import last_lines
from airflow_provider_kinetic.model.errors import ImageError, JobTimeout
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus, Image, ImageRequest
from airflow_provider_kinetic.stores.base import Store

DEMANDS = 5
"""How often a build that somebody cancels is demanded anew by one who waits."""

LONGEST_LINE = 300
"""Characters of the build's log that one line of the task's log shows."""


def request_uri(store_root: str, tag: str) -> str:
    """Where the request of a tag lies, beside the claims of its builds."""
    return f"{store_root}/_images/{tag}/request.json"


def keep_request(store: Store, store_root: str, request: ImageRequest) -> None:
    """Write the request down for whoever has to demand it anew; its content is its name, so the first one stands."""
    try:
        store.write(request_uri(store_root, request.tag), json.dumps(asdict(request)).encode(), if_absent=True)
    except ObjectExists:
        return


def kept_request(store: Store, store_root: str, tag: str) -> ImageRequest | None:
    """The request of the tag; None where it is gone, or is not the one that has this tag."""
    try:
        request = ImageRequest(**json.loads(store.read(request_uri(store_root, tag))))
    except (ObjectMissing, ValueError, TypeError):
        return None
    return request if request.tag == tag else None


@dataclass(frozen=True)
class Inspect:
    """Look at the build, as often as every ``poll`` seconds."""

    build: Build
    poll: float

    def perform(self, ports: Ports) -> BuildStatus:
        return ports.builder.status(self.build)


@dataclass(frozen=True)
class Demand:
    """The build was cancelled, and its image is wanted: the image if it is there by now, else the build that runs.

    None where nobody knows any more what was to be built.
    """

    tag: str
    store_root: str

    def perform(self, ports: Ports) -> Image | Build | None:
        request = kept_request(ports.store, self.store_root, self.tag)
        if request is None:
            return None
        return ports.builder.find(request) or ports.builder.start(request, log=lambda _: None)


@dataclass(frozen=True)
class Abandon:
    """Cancel the build: its task's time is over."""

    build: Build

    def perform(self, ports: Ports) -> None:
        ports.builder.cancel(self.build)


def wait_for(
    build: Build,
    store_root: str,
    *,
    poll: float,
    timeout: ExecutionTimeout | None = None,
    cancels: bool = True,
    note: Callable[[Build], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
) -> Wait[Image]:
    """Describe the wait for one image, from any moment of its build.

    :param poll: seconds between two looks.
    :param timeout: when whoever waits has to give up.
    :param cancels: whether a build that this task started is cancelled then.
    :param note: told of each further build that is waited for, so that whoever ends the wait can cancel it.
    :param clock: the observer's own, in Unix seconds.
    :raises ImageError: the build failed; the last lines of its log are in the error.
    :raises JobTimeout: the task's time is over.
    """
    poll, demands, said = max(poll, SHORTEST_PAUSE), 0, ""
    what = f"Image {build.tag}"
    while True:
        status: BuildStatus = yield from insist(Inspect(build, poll), what, poll)
        if status.state is BuildState.SUCCEEDED:
            yield Say(f"{what}: built")
            return status.image or Image(build.uri, cached=False, build_id=build.id, log_url=build.log_url)
        if status.state is BuildState.CANCELLED and demands < DEMANDS:
            yield Pause(poll, poll)  # whoever was killed together with the build ends here
            found = yield from insist(Demand(build.tag, store_root), what, poll)
            if isinstance(found, Image):
                return found
            if found is not None:
                yield Say(f"{what}: the build was cancelled by somebody else, and is demanded anew")
                demands, build = demands + 1, found
                note(build)
                continue
        if status.state.terminal:
            raise failure(build, status)
        said = yield from _tell(what, status, said)
        left = None if timeout is None else timeout.at - clock()
        if timeout is not None and left is not None and left <= 0:
            cancelled = yield from _give_up(build, what, poll, cancels)
            raise late(build, timeout, cancelled=cancelled)
        pause = poll if left is None else max(SHORTEST_PAUSE, min(poll, left))
        yield Pause(pause, pause)


def _tell(what: str, status: BuildStatus, said: str) -> Generator[Any, Any, str]:
    """State and newest line of the log, once for each change."""
    lines = status.log_tail.splitlines()
    line = ": ".join(filter(None, (status.state.value.lower(), (lines or [""])[-1].strip()[:LONGEST_LINE])))
    if line != said:
        yield Say(f"{what}: {without_logins(line)}")
    return line


def _give_up(build: Build, what: str, poll: float, cancels: bool) -> Generator[Any, Any, bool]:
    """Whether the build ends with it."""
    if not (cancels and build.started_by_us):
        return False
    yield Say(f"{what}: {EXECUTION_TIMEOUT} passed, cancelling the build")
    yield from insist(Abandon(build), what, poll)
    return True


def failure(build: Build, status: BuildStatus) -> ImageError:
    """The error of a build that came to nothing, the same for everybody who waited for it."""
    cause = (status.message or f"the build is {status.state.value.lower().replace('_', ' ')}").rstrip(".")
    remedy = status.advice or {
        BuildState.TIMED_OUT: "Raise `build_timeout` of the connection, or give it a larger `build_machine_type`.",
        BuildState.CANCELLED: "Somebody cancels it: find out who, then run the task again.",
    }.get(status.state, "Correct the requirements or the base image; a retry builds anew.")
    log_url = status.log_url or build.log_url
    where = f"The whole log: {log_url} " if log_url else ""
    summary = f"The image {build.tag} could not be built: {cause}."
    return ImageError(without_logins(summary + last_lines(status.log_tail)), advice=f"{where}{remedy}")


def late(build: Build, timeout: ExecutionTimeout, *, cancelled: bool) -> JobTimeout:
    """The error of a task whose time ended before its image was there."""
    whose = "" if build.started_by_us else ", which another task started,"
    fate = "the build was cancelled" if cancelled else f"the build{whose} goes on"
    return JobTimeout(
        f"The {EXECUTION_TIMEOUT} of {timeout.seconds:g} s passed while image {build.tag} was built; {fate}.",
        advice=f"Raise `{EXECUTION_TIMEOUT}` of the task, or build the image in a task of its own before it.",
    )
