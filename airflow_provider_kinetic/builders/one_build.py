"""How a demand for an image becomes the one build that everybody waits for: join it, adopt it, or start it.

Nothing here knows what builds. :mod:`~airflow_provider_kinetic.builders.claims` says what lies in the store.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from airflow_provider_kinetic.builders.claims import LIFETIME, VOID, Claims, Turn
from airflow_provider_kinetic.model.errors import ImageError, InfrastructureError, KineticError, QuotaExceeded

POLL = 0.5
"""Seconds between two looks at a claim whose build is about to start."""
MARK = 5.0
"""Seconds between two marks that say by the store's clock how long somebody has waited."""
PATIENCE = 4 * LIFETIME
"""Seconds after which nobody is waited for any more: two claimers may have died one after the other."""

_REFUSALS = (ImageError, QuotaExceeded)


class Started(NamedTuple):
    """The build that is to be waited for."""

    number: int
    build: dict[str, Any]
    ours: bool


class Service(Protocol):
    """What builds."""

    def create(self, number: int, nonce: str) -> Callable[[], dict[str, Any]]:
        """Send what is built, and start nothing; what is returned starts the build, once, and says what to write down.

        What is returned raises ``ImageError`` or ``QuotaExceeded`` where the build will not be started, and any other
        ``InfrastructureError`` where nobody knows.
        """

    def adopt(self, nonce: str) -> dict[str, Any] | None:
        """The build that carries the nonce, as :meth:`create` would have said it; None where there is none."""

    def over(self, number: int, build: dict[str, Any]) -> dict[str, Any] | None:
        """Why this build is of no use to a new demand; None where it runs, or its image is there."""

    def cancel(self, build: dict[str, Any]) -> None:
        """Stop a build that is one too many."""


@dataclass(frozen=True)
class Clock:
    """``monotonic`` in seconds."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Demand:
    """One demand for the image of a tag."""

    def __init__(self, claims: Claims, service: Service, log: Callable[[str], None], clock: Clock = Clock()) -> None:
        self._claims, self._service, self._log, self._clock = claims, service, log, clock
        self._me = secrets.token_hex(4)
        self._claimed: set[int] = set()
        """Our own claims."""
        self._marks: dict[int, float] = {}
        """Claims whose build was waited for, with the time of the next mark."""

    def meet(self) -> Started:
        """The build that runs from now on.

        :raises ImageError: the build could not be started, by us or by whom we waited for; so :class:`QuotaExceeded`.
        :raises InfrastructureError: somebody who is needed does not answer.
        """
        gives_up = self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < gives_up:
            turn = self._claims.newest()
            started = self._follow(turn) if turn is not None and not turn.failed else self._next(turn)
            if started is not None:
                return started
        raise InfrastructureError(
            "The build of an image could not be started: who wanted to start it disappeared again and again.",
            advice="Retry; the logs of the other tasks that need this image may say more.",
        )

    def _follow(self, turn: Turn) -> Started | None:
        if not turn.built:
            return self._wait(turn)
        build = self._claims.build(turn.number)
        if build is None:
            return None
        if VOID in build:
            return self._claim(turn.number + 1)
        useless = self._service.over(turn.number, build)
        if useless is None:
            return Started(turn.number, build, ours=turn.number in self._claimed)
        self._claims.fail(turn.number, useless)
        return None

    def _next(self, turn: Turn | None) -> Started | None:
        """The newest claim came to nothing: whoever has waited for it is told, anybody else claims anew."""
        if turn is None:
            return self._claim(1)
        if turn.number in self._marks:
            build = self._claims.build(turn.number) if turn.built else None
            if build is not None and VOID not in build:
                return Started(turn.number, build, ours=turn.number in self._claimed)
            _repeat(self._claims.failure(turn.number) or {})
        return self._claim(turn.number + 1)

    def _claim(self, number: int) -> Started | None:
        began = self._clock.monotonic()
        nonce = self._claims.claim(number)
        if nonce is None:
            return None
        self._claimed.add(number)
        start = self._prepared(number, nonce)
        if self._clock.monotonic() - began > LIFETIME / 2:
            return None  # the others take us for dead soon
        try:
            return self._begun(number, start())
        except _REFUSALS as refused:
            self._give_up(number, refused)
            raise
        except InfrastructureError as unanswered:
            self._log(f"{unanswered.summary}; looking whether the build was started all the same")
            build = self._service.adopt(nonce)
            return None if build is None else self._begun(number, build)

    def _prepared(self, number: int, nonce: str) -> Callable[[], dict[str, Any]]:
        """Nothing is started by that, so whatever goes wrong, nobody has to wait for this claim."""
        try:
            return self._service.create(number, nonce)
        except KineticError as error:
            with suppress(KineticError):
                self._give_up(number, error)
            raise

    def _give_up(self, number: int, why: KineticError) -> None:
        self._claims.fail(number, {"kind": why.category, "message": why.summary, "advice": why.advice})

    def _begun(self, number: int, build: dict[str, Any]) -> Started | None:
        if VOID not in self._claims.settle(number, build):
            return Started(number, build, ours=True)
        self._service.cancel(build)  # they took us for dead, and somebody builds anew
        return None

    def _wait(self, turn: Turn) -> Started | None:
        """Somebody starts a build at this moment, or has died."""
        now = self._clock.monotonic()
        due = self._marks.setdefault(turn.number, now + MARK)
        if turn.age is not None and turn.age >= LIFETIME:
            return self._inherit(turn.number)
        if now >= due:
            self._claims.mark(turn.number, self._me)
            self._marks[turn.number] = now + MARK
        self._clock.sleep(POLL)
        return None

    def _inherit(self, number: int) -> Started | None:
        """Whoever claimed this is gone: its build is adopted, and where there is none, the claim is void."""
        build = self._service.adopt(self._claims.nonce(number))
        holds = self._claims.settle(number, build or {VOID: "nobody started it"})
        if VOID in holds:
            return None
        self._log("adopting a build whose starter is gone")
        return Started(number, holds, ours=number in self._claimed)


def _repeat(why: dict[str, Any]) -> None:
    """:raises ImageError: as it was raised where the build was to be started; so :class:`QuotaExceeded`."""
    for kind in _REFUSALS:
        if why.get("kind") == kind.category:
            raise kind(str(why.get("message", "")), advice=str(why.get("advice", "")))
