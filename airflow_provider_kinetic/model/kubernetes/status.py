"""What a Job, its pods and its events say, as the one value that every reader shares.

States are upstream's, first match (contract 8.2), with two things more: success is proved, so it needs the
``Complete`` condition, and a job whose last pod has ended stays RUNNING until its end is counted. All times are the
API server's. An observer of a thousand jobs calls this for each change, so it only reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.kubernetes.events import Events
from airflow_provider_kinetic.model.kubernetes.failure import failed_at, last_ended, of_pod, why_failed
from airflow_provider_kinetic.model.kubernetes.job import CONTAINER
from airflow_provider_kinetic.model.kubernetes.objects import condition, entries, moment, text, whole
from airflow_provider_kinetic.model.kubernetes.pods import Pod, newest_first
from airflow_provider_kinetic.model.kubernetes.waiting import suspended, why_waiting
from airflow_provider_kinetic.model.status import JobState, JobStatus, Reason

GONE = "There is no Job of that name: it was deleted, or it expired after its end."


def status_of(
    job: Mapping[str, Any] | None,
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
    *,
    server_time: float,
) -> JobStatus:
    """The state of a batch/v1 Job; never raises, whatever the objects lack.

    :param job: None where the API server has none of that name. Who cancelled it is for the caller to know.
    :param pods: those with the label ``job-name``.
    :param events: those of the Job and its pods; without them a job waits without saying why.
    :param server_time: the server's clock when these were read, Unix seconds.
    """
    if job is None:
        return JobStatus(JobState.NOT_FOUND, message=GONE, server_time=server_time)
    observed = _Observed(job, newest_first(pods), Events.of(events, text(job, "metadata", "name")))
    state, reason, message = observed.judged()
    ended = last_ended(observed.pods) if state.terminal else None
    gone = observed.gone
    return JobStatus(
        state,
        reason,
        message,
        exit_code=ended.exit_code if ended else None,
        attempts=sum(pod.started_at is not None for pod in observed.pods) + gone,
        preemptions=observed.preemptions,
        created_at=moment(job, "metadata", "creationTimestamp"),
        started_at=observed.started_at,
        finished_at=observed.finished_at(state, ended),
        server_time=server_time,
        stopping=bool(text(job, "metadata", "deletionTimestamp")) and not state.terminal,
        objects=ended.objects if ended else {},
    )


@dataclass(frozen=True)
class _Observed:
    job: Mapping[str, Any]
    pods: list[Pod]
    events: Events

    def judged(self) -> tuple[JobState, Reason, str]:
        if condition(self.job, "Complete"):
            return JobState.SUCCEEDED, Reason.NONE, ""
        if condition(self.job, "Failed") or (whole(self.job, "status", "failed") or 0) >= 1:
            reason, message = why_failed(self.job, self.pods)
            return JobState.FAILED, reason, message
        if (whole(self.job, "status", "succeeded") or 0) >= 1:
            return JobState.RUNNING, Reason.NONE, "the function has ended; the Job is being completed"
        running = next((pod for pod in self.pods if pod.phase == "Running"), None)
        if running:
            return JobState.RUNNING, Reason.NONE, self._running(running)
        if self._uncounted:
            return JobState.RUNNING, Reason.NONE, _alone(self._interruptions())
        reason, message = why_waiting(self.job, self.pods, self.events)
        if self.preemptions and reason is Reason.STARTING:
            reason = Reason.RESTARTING
        return JobState.PENDING, reason, message + self._interruptions()

    @cached_property
    def gone(self) -> int:
        """Pods that were made before the newest one and do not exist any more: their node was removed.

        The newest that an event tells of may only be missing because pods were listed before events.
        """
        made = self.events.created_pods()
        if not made:
            return 0
        newest = max((pod.created for pod in self.pods), default=max(made.values(), default=0.0))
        listed = {pod.name for pod in self.pods}
        return sum(at < newest for name, at in made.items() if name not in listed)

    @cached_property
    def preemptions(self) -> int:
        return sum(bool(pod.disruption) for pod in self.pods) + self.gone

    @cached_property
    def started_at(self) -> float | None:
        starts = [*(pod.started_at for pod in self.pods), self.events.first_start(CONTAINER)]
        return min((at for at in starts if at is not None), default=None)

    def finished_at(self, state: JobState, ended: Pod | None) -> float | None:
        """By the Job; by its pod while the condition is still to come."""
        if not state.terminal:
            return None
        at = moment(self.job, "status", "completionTime") if state is JobState.SUCCEEDED else failed_at(self.job)
        return at if at is not None or ended is None else ended.finished_at

    def _running(self, pod: Pod) -> str:
        if pod.disruption:
            return f"being preempted ({pod.disruption})" + self._interruptions()
        if pod.deleting:
            return "being stopped" + self._interruptions()
        return _alone(self._interruptions())

    @property
    def _uncounted(self) -> bool:
        """The newest pod has ended, and no other one follows it as after a disruption."""
        newest = self.pods[0] if self.pods else None
        if newest is None or not newest.ended or suspended(self.job):
            return False
        final = newest.exit_code in (0, *protocol.FINAL_EXITS)
        return final or not newest.disruption

    def _interruptions(self) -> str:
        """How often and by what; whoever waits must see that a job starts again and again."""
        count = self.preemptions
        if not count:
            return ""
        budget = _max_preemptions(self.job)
        last = next((of_pod(pod)[1] for pod in self.pods if pod.disruption), "")
        return f" (preempted {count}{f' of {budget}' if budget else ''}×{f'; last: {last}' if last else ''})"


def _alone(parenthesis: str) -> str:
    return parenthesis.strip().removeprefix("(").removesuffix(")")


def _max_preemptions(job: Mapping[str, Any]) -> str:
    for container in entries(job, "spec", "template", "spec", "containers"):
        for variable in entries(container, "env"):
            if text(variable, "name") == protocol.ENV_MAX_PREEMPTIONS:
                return text(variable, "value")
    return ""
