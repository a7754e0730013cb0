"""Task instances that submit and jobs that begin and end, without Airflow and without processes.

What decides is real: the choice of the directory, the records of a submission, and the records that a runner writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job.report import FAILURE, PREEMPTED, SUCCESS, Report
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.attempts import Attempt, Records
from airflow_provider_kinetic.lifecycle.arguments import Arguments
from airflow_provider_kinetic.lifecycle.directory import Directory, output_directory, reopened
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.resume import Resume
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.local import LocalStore
from airflow_provider_kinetic.stores.vault import StoreVault


def train(lr: float = 0.1, seed: int = 0) -> None: ...


@dataclass
class Instance:
    """A task instance over all its tries."""

    outputs: str
    """URI of the folder of all trials."""
    identity: TaskIdentity
    store: Store = field(default_factory=LocalStore)
    memory: SubmissionRecord | None = None
    """What Airflow's task state store holds."""
    job: Records | None = None
    attempt: Attempt = field(default_factory=Attempt)

    def submit(
        self, policy: str = "auto", *, output_dir: str | None = None, begins: bool = True, **options: Any
    ) -> Directory:
        """A try that does not adopt: a first one, a retry after a failure, or a clear. Its job begins at once."""
        args = options.pop("args", {})
        arguments = Arguments.of(train, (), args)
        request = Resume(policy=policy, **options)
        work = Work(train, (), args, JobSpec("train"), self.identity, 1, {}, output_dir, request, arguments)
        target = Target("local", "k", self.outputs, self.outputs, self.outputs)
        former = self.memory
        record = reopened(former.next(max_tries=1), target, work) if former else SubmissionRecord.first(max_tries=1)
        place = output_directory(self.store, target, work, record)
        self.memory = replace(record, output_dir=place.uri, generation=place.generation)
        if begins:
            self.start(args=dict(arguments.values), args_digest=arguments.digest)
        return place

    def start(self, **facts: Any) -> None:
        """The machine starts, once more if it was taken away."""
        assert self.memory is not None
        identity = {name: str(getattr(self.identity, name)) for name in ("dag_id", "task_id", "run_id", "map_index")}
        self.job = Records(self.memory.output_dir, self.memory.job_id, StoreVault(self.store))
        self.attempt = self.job.begin({**identity, **facts})

    def end(self, outcome: str) -> None:
        assert self.job is not None
        self.job.end(self.attempt, Report(outcome, "execute", 0))

    def complete(self) -> None:
        self.end(SUCCESS)

    def fail(self) -> None:
        self.end(FAILURE)

    def preempt(self) -> None:
        self.end(PREEMPTED)

    def save(self, step: int = 7) -> None:
        """With plain Orbax."""
        assert self.memory is not None
        self.store.write(f"{self.memory.output_dir}/checkpoints/{step}/commit_success.txt", b"")


@dataclass
class Story:
    """Runs of a DAG on the local platform."""

    root: Path
    store: Store = field(default_factory=LocalStore)
    bucket: str = ""
    """Of another store than files, ``gs://name``."""

    def __call__(self, run_id: str = "run_1", map_index: int = -1, task_id: str = "train") -> Instance:
        """The task's instance as one who remembers nothing."""
        identity = TaskIdentity("retrain", task_id, run_id, map_index)
        return Instance(self.bucket or path_to_uri(self.root), identity, self.store)
