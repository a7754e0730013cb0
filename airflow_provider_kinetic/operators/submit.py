"""The first step of a job as a task of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_kinetic.operators.job import KineticJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class KineticSubmitOperator(KineticJobOperator):
    """Submit a function as a job and go on; the job id is the XCom.

    The job is observed, collected and cleaned up by :class:`KineticJobSensor`, :class:`KineticCollectOperator` and
    :class:`KineticCleanupOperator`. XCom also gets ``result_uri``, ``output_dir`` and ``kinetic_job`` (the handle).
    Parameters: :class:`airflow_provider_kinetic.operators.job.KineticJobOperator`.
    """

    def execute(self, context: Context) -> str:
        return self.submit(context).handle.job_id
