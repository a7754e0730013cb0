"""Where the demo keeps everything: one folder that can be deleted at any time."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path

from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.model.handle import JobHandle
from demo.standalone import Standalone

MANDATORY = [field.name for field in fields(JobHandle) if field.default is MISSING]
PROJECT = Path(__file__).resolve().parent.parent


class Place:
    """Airflow lives in ``{root}/airflow``, jobs and outputs in ``{root}/kinetic``."""

    def __init__(self, root: Path, dags: Path = PROJECT / "dags") -> None:
        self.root = root.resolve()
        self.dags = dags
        self.home = self.root / "airflow"
        self.bucket = self.root / "kinetic"
        self.cluster = self.bucket / "cluster"

    def clear(self) -> None:
        """Forget earlier runs. The environments of jobs stay: they are made from their content and still right."""
        self.end_jobs()
        shutil.rmtree(self.home, ignore_errors=True)
        for part in ("cluster", "jobs", "outputs"):
            shutil.rmtree(self.bucket / part, ignore_errors=True)

    def airflow(self, say: Callable[[str], None], env: Mapping[str, str] | None = None) -> Standalone:
        """An Airflow with the project's DAG and a connection ``kinetic_default`` to this machine."""
        extra = {"platform": "local", "emulate_accelerators": True, "bucket": str(self.bucket)}
        connection = json.dumps({"conn_type": "kinetic", "extra": extra})
        return Standalone(
            self.home, self.dags, env={"AIRFLOW_CONN_KINETIC_DEFAULT": connection, **(env or {})}, say=say
        )

    def end_jobs(self, wait: float = 10.0) -> None:
        """End the jobs that an interrupted demo left: they outlive Airflow, as jobs should."""
        if not self.cluster.is_dir():
            return
        cluster = LocalCluster(self.cluster)
        for job in cluster.list():
            with contextlib.suppress(OSError):
                cluster.delete(_handle(job.name, job.job_id), wait=wait)


def _handle(name: str, job_id: str) -> JobHandle:
    nothing = dict.fromkeys(MANDATORY, "")
    return JobHandle.from_dict({**nothing, "namespace": "default", "k8s_name": name, "job_id": job_id})
