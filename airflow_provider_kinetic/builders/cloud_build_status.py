"""What a look at Cloud Build means for those who wait: the answer, and for a failure its cause, told to all alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from airflow_provider_kinetic.builders.claims import Claims, Objects
from airflow_provider_kinetic.builders.cloud_build_failure import LOGS_VIEWER, cause_of, plain_lines, state_of
from airflow_provider_kinetic.model.errors import KineticError
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus, Image

TAIL_LINES = 20
"""Lines of a failed build's log that are shown."""
LATE = 2.0
"""Seconds by which the last lines of a log may come after the end of its build."""
UNKNOWN = {"status": "FAILURE", "statusDetail": "Cloud Build does not know it any more"}


class Log(Protocol):
    """Reads logs of builds."""

    def log_tail(self, project: str, build_id: str, lines: int) -> str | None: ...


class Reporter:
    """Makes answers out of builds as the REST API says them.

    :param root: where jobs' objects lie: ``gs://{bucket}``.
    """

    def __init__(self, store: Objects, root: str, log: Log) -> None:
        self._store, self._root, self._log = store, root, log

    def answer(self, build: Build, found: Mapping[str, Any] | None) -> BuildStatus:
        """No I/O but for a failure.

        :param found: None: there is no such build.
        """
        found = found or UNKNOWN
        state, log_url = state_of(found), str(found.get("logUrl") or build.log_url)
        if state is BuildState.SUCCEEDED:
            image = Image(build.uri, cached=not build.started_by_us, build_id=build.id, log_url=log_url)
            return BuildStatus(state, log_url=log_url, image=image)
        if not state.terminal:
            return BuildStatus(state, message=str(found.get("statusDetail", "")), log_url=log_url)
        facts = self._failure(build, found, state)
        return BuildStatus(state, facts["message"], facts["log_tail"], log_url, advice=facts["advice"])

    def _failure(self, build: Build, found: Mapping[str, Any], state: BuildState) -> Mapping[str, Any]:
        """As whoever saw it first wrote it down. A store that fails must not hide the build's failure."""
        claims = Claims(self._store, self._root, build.tag)
        with suppress(KineticError):
            known = claims.failure(build.number) or {}
            if known.get("id") == build.id and known.get("state") == state.value:
                return known
        tail = None if state is BuildState.CANCELLED else self._tail(build)
        message, advice = cause_of(found, tail or "")
        if tail is None and state is BuildState.FAILED:
            advice += f" To see the last lines of its log here, grant the connection's identity {LOGS_VIEWER}."
        facts = {"kind": "build", "id": build.id, "state": state.value, "message": message, "advice": advice}
        facts |= {"log_tail": tail or "", "log_url": build.log_url}
        with suppress(KineticError):
            claims.fail(build.number, facts)
        return facts

    def _tail(self, build: Build) -> str | None:
        """None where the log cannot be read."""
        tail = self._log.log_tail(build.place.split("/")[1], build.id, TAIL_LINES)
        if tail is not None and not tail.strip():
            time.sleep(LATE)
            tail = self._log.log_tail(build.place.split("/")[1], build.id, TAIL_LINES)
        return None if tail is None else plain_lines(tail)
