"""What became of each start of a trial, and of the trial.

Times are those of the store's objects, compared with each other: no clock of a machine decides anything
(``checkpointing`` 4, row 13). Work is lost from the checkpoint that the next attempt continued from, or else from the
attempt's own start, until the attempt's end; a last save in time makes that next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from airflow_provider_kinetic.lifecycle.reader_facts import (
    COMPLETED,
    FAILED,
    LOST,
    PENDING,
    PREEMPTED,
    RUNNING,
    SILENCE,
    AttemptInfo,
    TrialState,
)
from airflow_provider_kinetic.lifecycle.reader_listing import Listing

VANISHED = "It vanished without a word, and its job started again."
SILENT = "It has not given a sign of life since, and has not said how it ended."

_WORDS = {"BUDGET_SPENT": FAILED}


def attempts_of(listing: Listing) -> list[AttemptInfo]:
    """Oldest first."""
    lived = [*_lived(listing.starts)]
    return [_attempt(listing, number, successor) for number, successor in pairwise([*lived, None]) if number]


def state_of(
    listing: Listing, attempts: Sequence[AttemptInfo], summary: Mapping[str, Any], job_id: str | None = None
) -> TrialState:
    """Of one job where that is named: of its attempts, and up to what its newest one has left.

    :param summary: as ``job.training.summary`` writes it; empty where there is none.
    """
    mine = [each for each in attempts if job_id in (None, each.job_id)]
    if not mine:
        return TrialState(PENDING)
    newest = mine[-1]
    followed = next((each.started for each in attempts if each.number > newest.number), None)
    if followed is not None and summary.get("attempt", math.inf) > newest.number:
        summary = {}
    beaten = listing.beaten(newest.number)
    said = listing.heartbeat if beaten is not None else {}
    return TrialState(
        state=newest.state,
        attempt=newest.number,
        attempts=len(mine),
        preemptions=sum(each.state == PREEMPTED for each in mine),
        lost_seconds=sum(each.lost_seconds for each in mine),
        step=_step(listing, newest.number, summary, math.inf if followed is None else followed),
        progress=said.get("progress"),
        status=str(said.get("status") or ""),
        metrics={name: curve.get("last") for name, curve in summary.get("series", {}).items()},
        heartbeat_age=None if beaten is None or newest.number in listing.ends else max(0.0, listing.now - beaten),
        reason=newest.reason,
    )


def _lived(starts: Mapping[int, Mapping[str, Any]]) -> Iterator[int]:
    """Numbers that were taken for good: a start that takes another one keeps its nonce (``job.training.attempts``)."""
    last = {record.get("nonce"): number for number, record in sorted(starts.items())}
    for number, record in sorted(starts.items()):
        if not record.get("nonce") or last[record["nonce"]] == number:
            yield number


def _attempt(listing: Listing, number: int, successor: int | None) -> AttemptInfo:
    layout, record, end = listing.layout, listing.starts[number], listing.ends.get(number)
    state, reason = _became(listing, number, successor)
    started = listing.written(layout.attempt(number), record.get("started")) or 0.0
    ended = None
    if end is not None:
        ended = listing.written(layout.attempt_end(number), end.get("ended"))
    elif state != RUNNING:
        ended = max(started, listing.last_trace(number))
    lost = 0.0
    if ended is not None and state != COMPLETED:
        lost = max(0.0, ended - max(started, _kept(listing, successor) or 0.0))
    return AttemptInfo(
        number=number,
        job_id=str(record.get("job_id", "")),
        state=state,
        reason=reason,
        started=started,
        ended=ended,
        resumed_from=_parent(record).get("checkpoint"),
        lost_seconds=lost,
    )


def _became(listing: Listing, number: int, successor: int | None) -> tuple[str, str]:
    end = listing.ends.get(number)
    if end is not None:
        state = str(end.get("state") or LOST)
        return _WORDS.get(state, state), str(end.get("reason") or "")
    if successor is not None:
        job, next_job = (listing.starts[each].get("job_id") for each in (number, successor))
        return (PREEMPTED, VANISHED) if job and job == next_job else (LOST, SILENT)
    beaten = listing.beaten(number)
    silent = beaten is not None and listing.now - max(beaten, listing.last_trace(number)) > SILENCE
    return (LOST, SILENT) if silent else (RUNNING, "")


def _kept(listing: Listing, successor: int | None) -> float | None:
    """When that was saved from which the trial goes on, or would go on."""
    if successor is None:
        visible = [str(name) for name in listing.survey.visible()]
        native = [_folder(step.uri) for step in listing.native]
        return max((when for name in (*visible, *native) if (when := listing.saved(name))), default=None)
    parent = _parent(listing.starts[successor])
    checkpoint = parent.get("checkpoint")
    if not isinstance(checkpoint, Mapping):
        return None
    saved = parent.get("saved")
    name = _folder(str(checkpoint.get("uri", "")))
    return float(saved) if isinstance(saved, (int, float)) else listing.saved(name)


def _folder(uri: str) -> str:
    return uri.rpartition("/")[2]


def _parent(record: Mapping[str, Any]) -> Mapping[str, Any]:
    parent = record.get("parent")
    return parent if isinstance(parent, Mapping) else {}


def _step(listing: Listing, newest: int, summary: Mapping[str, Any], until: float) -> int | None:
    """The furthest that the newest attempt says, or that was saved ``until`` the next one began."""
    said = [each.get("step") for each in (listing.heartbeat, summary) if each.get("attempt") == newest]
    said += [name.step for name in listing.survey.visible() if name.attempt <= newest]
    said += [step.step for step in listing.native if (listing.saved(_folder(step.uri)) or 0.0) < until]
    return max((step for step in said if isinstance(step, int)), default=None)
