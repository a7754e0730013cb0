"""What a job's training has come to, told wherever a task can say it.

Progress must not be lost with a failure, so after every job that used ``job.trial()``, whatever became of it, the
task's log, its XCom, its error and the events of its assets say how far it is and what can be restored
(``checkpointing`` 3.11). All of that comes on top: it is read once and within :data:`PATIENCE`, and trouble with it is
a line in the log.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.lifecycle.reader_facts import TrialState
    from airflow_provider_kinetic.model.errors import KineticError
    from airflow_provider_kinetic.model.handle import JobHandle

XCOM_TRIAL = "kinetic_trial"
XCOM_CHECKPOINT = "kinetic_checkpoint"

R = TypeVar("R")

PATIENCE = 30.0
"""Seconds that all of it may take."""
MOST_METRICS = 16 << 10
"""Bytes of their JSON: what XCom shows is for people."""


class Telling(Protocol):
    """What is asked of the operator."""

    outlets: Any

    @property
    def log(self) -> Any: ...


@dataclass(frozen=True)
class Training:
    """Of one output directory, as a job has left it. Another one may work there by now."""

    dir: str
    trial: TrialState
    """Of the job's own attempts."""
    latest: KineticCheckpoint | None
    """Of these attempts or earlier ones, if the trial still has it. Texts of its metadata are masked, as of metrics."""
    over: bool = True
    """The job is; an attempt that has not said how it ended has then vanished."""

    @property
    def state(self) -> str:
        from airflow_provider_kinetic.lifecycle.reader_facts import LOST, RUNNING

        return LOST if self.over and self.trial.state == RUNNING else self.trial.state

    def line(self) -> str:
        """``Attempt 3: preempted 2 times, lost 40 s of work; last checkpoint at step 4500``."""
        parts = [self.trial.story(), f"last checkpoint at step {self.latest.step}" if self.latest else "no checkpoint"]
        head = f"Attempt {self.trial.attempt}" if self.trial.attempt else "The job has begun no attempt"
        return f"{head}: " + "; ".join(part for part in parts if part)

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        metrics = masked(dict(self.trial.metrics))
        return {
            "dir": self.dir,
            "attempt": self.trial.attempt,
            "state": self.state,
            "step": self.trial.step,
            "metrics": metrics if len(json.dumps(metrics)) <= MOST_METRICS else {},
            "preemptions": self.trial.preemptions,
            "lost_seconds": round(self.trial.lost_seconds, 1),
        }


def tell(
    operator: Telling,
    context: Context,
    hook: KineticHook,
    handle: JobHandle,
    error: BaseException | None,
    over: bool = True,
) -> None:
    """Tell the log and XCom; of a failure also ``error``, of a success also the assets that the task makes."""
    from airflow.sdk.exceptions import AirflowTaskTimeout

    if not handle.ours or not handle.output_dir:
        return
    try:
        _tell(operator, context, hook, handle, error, over)
    except AirflowTaskTimeout:
        if error is None:
            raise
        _tell(operator, context, hook, handle, error, over)  # the task fails already, and its clock rings once


def _tell(
    operator: Telling,
    context: Context,
    hook: KineticHook,
    handle: JobHandle,
    error: BaseException | None,
    over: bool,
) -> None:
    try:
        training = within(PATIENCE, lambda: training_of(hook, handle, over))
        if training is None:
            return
        operator.log.info("%s (%s)", training.line(), training.dir)
        _push(context, training)
        if error is not None:
            _add(error, training)
        else:
            _announce(operator, context, hook, training)
    except Exception as trouble:
        operator.log.warning("What the trial in %s has come to could not be told: %s", handle.output_dir, trouble)


def training_of(hook: KineticHook, handle: JobHandle, over: bool) -> Training | None:
    """Two or three round trips to the store. None where nobody trains."""
    from airflow_provider_kinetic.lifecycle.reader import TrialReader

    output_dir = str(handle.output_dir)
    view = TrialReader(hook.ports.store, output_dir).look()
    if not view.used:
        return None
    trial = view.state(handle.job_id)
    found = view.checkpoints.latest(trial.attempt or math.inf)
    latest = replace(KineticCheckpoint.of(found), metadata=masked(dict(found.metadata))) if found else None
    return Training(output_dir, trial, latest, over)


def within(seconds: float, look: Callable[[], R]) -> R:
    """:raises TimeoutError: it took longer, and goes on in the background."""
    answers: list[R] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(look())
        except Exception as error:
            failures.append(error)

    looking = threading.Thread(target=run, name="kinetic-training", daemon=True)
    looking.start()
    looking.join(seconds)
    if failures:
        raise failures[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answers[0]


def _push(context: Context, training: Training) -> None:
    ti = context["ti"]
    ti.xcom_push(key=XCOM_TRIAL, value=training.facts())
    if training.latest is not None:
        ti.xcom_push(key=XCOM_CHECKPOINT, value=training.latest)


def _add(error: BaseException, training: Training) -> None:
    """To the first line of what people read; the job's last output follows."""
    from airflow_provider_kinetic.model.errors import ConfigurationError, KineticError

    if isinstance(error, KineticError) and not isinstance(error, ConfigurationError):
        error.summary = _after_first_line(error, f" {training.line()}.")


def _after_first_line(error: KineticError, words: str) -> str:
    first, newline, rest = error.summary.partition("\n")
    return f"{first}{words}{newline}{rest}"


def _announce(operator: Telling, context: Context, hook: KineticHook, training: Training) -> None:
    """The events of the task's assets name the checkpoint, and our retention spares what they name. Orbax's own, in
    the job, knows no pins."""
    from airflow.sdk import Asset

    assets = [outlet for outlet in operator.outlets or () if isinstance(outlet, Asset)]
    if not assets or training.latest is None:
        return
    checkpoint = training.latest
    for asset in assets:
        extra = context["outlet_events"][asset].extra
        extra.setdefault(XCOM_CHECKPOINT, checkpoint.serialize())
        extra.setdefault(XCOM_TRIAL, training.facts())
    if checkpoint.kind == "kinetic":
        layout, _, name = checkpoint.uri.rpartition("/checkpoints/")
        within(PATIENCE, lambda: hook.ports.store.write(TrialLayout(layout).pin(name), b""))


def masked(value: Any) -> Any:
    """Known secrets are not shown, wherever in a text they are. Keys do not matter: `tokenizer` is no token."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # documented, and left out of its `__all__`

    if isinstance(value, dict):
        return {key: masked(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(each) for each in value]
    return redact(value) if isinstance(value, str) else value
