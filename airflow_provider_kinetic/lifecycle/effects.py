"""What a description of waiting may ask of whoever carries it out, and how a worker does.

A wait is a generator: it yields *effects* and is sent their results, and touches nothing itself. A worker performs
them one after the other and sleeps (:func:`drive`), the triggerer awaits them (``triggers/driver.py``), so the modes
cannot drift apart. An effect with a ``perform`` asks something of the ports; the others are the driver's own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import (
    ConfigurationError,
    ImageError,
    InfrastructureError,
    JobTimeout,
    KineticError,
    QuotaExceeded,
)

T = TypeVar("T")

FAILURES = 20
"""Questions in a row that may fail before the wait does.

The pauses between them come to some 18 minutes. A server that refuses at once adds nothing; one that is silent lets
each look take the cluster's own patience (90 s, ``clusters.kubernetes_session``), which makes some 50 minutes of it.
"""

LONGEST_PAUSE = 60.0
"""Seconds between two questions while nobody answers."""

SHORTEST_PAUSE = 0.05

FINAL = (ImageError, JobTimeout, QuotaExceeded, ConfigurationError)
"""Answers that asking again does not change: nothing was made, and the task has to hear why."""

EXECUTION_TIMEOUT = "execution_timeout"


@dataclass(frozen=True)
class ExecutionTimeout:
    """Airflow's ``execution_timeout``: seconds, and the Unix time at which they are over."""

    seconds: float
    at: float


@dataclass(frozen=True)
class Pause:
    """Wait for the next look."""

    seconds: float
    """How long whoever has to ask waits."""
    longest: float | None = None
    """How long whoever is told of changes waits at most; None: until one comes."""


@dataclass(frozen=True)
class Say:
    """Tell the people who watch."""

    line: str


@dataclass(frozen=True)
class Show:
    """Show the job's own output. ``cursor`` is the chunk that it ends."""

    text: str
    cursor: str


class Question(Protocol):
    """An effect that is answered by the ports."""

    def perform(self, ports: Ports) -> Any: ...


Wait = Generator[Any, Any, T]


def insist(
    effect: Question, what: str, poll: float, *, final: tuple[type[KineticError], ...] = FINAL
) -> Generator[Any, Any, Any]:
    """Ask again, with growing pauses, while nobody answers.

    :param what: whom it is about, for the task's log: ``Job job-…``.
    :param final: answers that asking again does not change.
    :raises InfrastructureError: nobody answered for too long.
    """
    failures = 0
    while True:
        try:
            return (yield effect)
        except final:
            raise
        except InfrastructureError as error:
            failures += 1
            if failures > FAILURES:
                raise
            summary = error.summary
        yield Say(f"{what}: no answer about it ({summary}), asking again")
        pause = min(poll * 2**failures, LONGEST_PAUSE)
        yield Pause(pause, pause)


def drive(
    waiting: Wait[T],
    ports: Ports,
    *,
    say: Callable[[str], None],
    show: Callable[[str], None],
    sleep: Callable[[float], None],
) -> T:
    """The worker's driver: perform each effect at once and block. ``sleep`` may raise to end the wait."""
    try:
        effect = next(waiting)
        while True:
            try:
                answer = _perform(effect, ports, say, show, sleep)
            except KineticError as error:
                effect = waiting.throw(error)
            else:
                effect = waiting.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


def _perform(
    effect: Any,
    ports: Ports,
    say: Callable[[str], None],
    show: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Any:
    if isinstance(effect, Pause):
        return sleep(effect.seconds)
    if isinstance(effect, Say):
        return say(effect.line)
    if isinstance(effect, Show):
        return show(effect.text)
    return effect.perform(ports)
