"""Which failures of a job are worth another try.

Airflow asks the task's ``retry_policy`` with the exception itself, in the worker, and never tries more often than
``retries`` says. A job's failures are told apart by their classes: ``UserCodeError`` is the function's own, with its
exception as the cause; what else there is, ``airflow_provider_kinetic/model/errors.py`` draws as a tree. Preemptions do
not come here before ``max_preemptions`` is spent: until then the cluster starts the job again by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule, dag, task

from airflow_provider_kinetic.model.errors import (
    CheckpointCorrupt,
    ConfigurationError,
    JobOutOfMemory,
    JobPreempted,
    JobStalled,
    UserCodeError,
)


class JobRetryPolicy(ExceptionRetryPolicy):
    """Judges an exception of the function by its own class, and everything else by ours. The first rule that fits."""

    def evaluate(self, exception: BaseException, *args: Any, **kwargs: Any) -> RetryDecision:
        own = exception.__cause__ if isinstance(exception, UserCodeError) else None
        return super().evaluate(own or exception, *args, **kwargs)


POLICY = JobRetryPolicy(
    [
        RetryRule(ConfigurationError, RetryAction.FAIL, reason="what was asked for will not work next time either"),
        RetryRule(
            CheckpointCorrupt, RetryAction.FAIL, reason="somebody has to look at what is left of the checkpoints"
        ),
        RetryRule(JobOutOfMemory, RetryAction.FAIL, reason="it needs a larger machine or a smaller batch"),
        RetryRule([TypeError, ValueError, ImportError], RetryAction.FAIL, reason="a mistake in the code stays one"),
        RetryRule(JobPreempted, retry_delay=timedelta(0), reason="the job goes on elsewhere, from its checkpoint"),
        RetryRule(JobStalled, retry_delay=timedelta(seconds=10), reason="another machine may not hang"),
    ]
)
"""Whatever no rule names, such as an error of the network, is tried again after the task's ``retry_delay``."""


def train(steps: int = 1000) -> dict[str, Any]:
    from airflow_provider_kinetic import job

    trial, weight, first = job.trial(), 0.0, 0
    with trial.restore() as checkpoint:
        if checkpoint:
            weight, first = float((checkpoint.path / "weight").read_text()), checkpoint.step
    for step in range(first + 1, steps + 1):
        weight += 0.1 * (1.0 - weight)
        trial.log({"loss": (1.0 - weight) ** 2}, step=step)
        if step % 100 == 0 or step == steps or trial.stopping():
            with trial.save(step) as folder:
                (folder / "weight").write_text(str(weight))
        trial.exit_if_stopping()
    return {"weight": weight, "went_on_after": first}


@dag(schedule=None, tags=["kinetic"])
def retry_policy() -> None:
    task.kinetic(
        accelerator="cpu",
        requirements=[],
        deferrable=True,
        stall_timeout=600,
        retries=5,
        retry_delay=timedelta(minutes=5),
        retry_policy=POLICY,
    )(train)()


retry_policy()
