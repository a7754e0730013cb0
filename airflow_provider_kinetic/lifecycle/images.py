"""From a request to an image: find it, or have it built and wait, all of it told in the steps of the builder's port."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from airflow_provider_kinetic.lifecycle.building import keep_request, wait_for
from airflow_provider_kinetic.lifecycle.effects import drive
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.images import Build, Image, ImageRequest

Say = Callable[[str], None]

POLL = 5.0
"""Seconds between two looks at a build."""


def _nothing(_: Build) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Waiting:
    """How a task waits for an image that is missing. ``poll`` is in seconds."""

    defers: bool = False
    """The task leaves the worker: somebody else waits for the build and goes on from what lies in the store."""
    poll: float = POLL
    sleep: Callable[[float], None] = time.sleep
    """May raise to end the wait; the build goes on."""
    note: Callable[[Build], None] = _nothing
    """Told of each build that is waited for, as soon as it runs."""


BLOCKING = Waiting()
"""In the process that needs the image."""


def begin(ports: Ports, store_root: str, request: ImageRequest, waiting: Waiting, say: Say) -> Build:
    """Have an image built that was not found: join its build or start one.

    :raises ImageError: it cannot be started.
    """
    build, _ = together(
        partial(ports.builder.start, request, log=say),
        partial(keep_request, ports.store, store_root, request),
    )
    log = f"; its log: {build.log_url}" if build.log_url else ""
    joined = "" if build.started_by_us else " by another task"
    say(f"Image {build.tag} is missing and being built{joined}{log}")
    waiting.note(build)
    return build  # type: ignore[no-any-return]


def finish(ports: Ports, store_root: str, build: Build, waiting: Waiting, say: Say) -> Image:
    """Wait for the end of a build.

    :raises ImageError: it failed; the last lines of its log are in the error.
    """
    wait = wait_for(build, store_root, poll=waiting.poll, note=waiting.note)
    return drive(wait, ports, say=say, show=say, sleep=waiting.sleep)


def ensure(ports: Ports, store_root: str, request: ImageRequest, say: Say, waiting: Waiting = BLOCKING) -> Image:
    """Find the image, or wait for whoever builds it, or build it.

    :raises ImageError: the build failed; the last lines of its log are in the error.
    """
    found = ports.builder.find(request)
    if found is not None:
        return found
    return finish(ports, store_root, begin(ports, store_root, request, waiting, say), waiting, say)
