"""One host a job: what a batch/v1 Job can run, and what to ask for instead.

Upstream starts several hosts as a LeaderWorkerSet, which runs a finished function again (contract P1–P3).
"""

from __future__ import annotations

import math

from airflow_provider_kinetic.model.accelerator_tables import TPUS
from airflow_provider_kinetic.model.accelerators import Accelerator
from airflow_provider_kinetic.model.errors import ConfigurationError


def check_single_host(accelerator: Accelerator, backend: str | None = None) -> None:
    """Whether one pod is enough for what was asked.

    :raises ConfigurationError: it needs more hosts, or a group was asked for with ``backend="pathways"``.
    """
    if accelerator.hosts > 1:
        raise ConfigurationError(
            f"accelerator={accelerator.raw!r} is {accelerator.count} chips on {accelerator.hosts} hosts; "
            "jobs on several hosts are not supported yet.",
            advice=f"Pass `accelerator` with one host: {', '.join(single_host_choices(accelerator))}.",
        )
    if backend == "pathways":
        raise ConfigurationError(
            'backend="pathways" starts a group of hosts, which is not supported yet.',
            advice=f"Leave `backend` out: {accelerator.raw!r} runs on one host.",
        )


def single_host_choices(accelerator: Accelerator, limit: int = 4) -> list[str]:
    """Words for slices of one host: those of the same TPU first, then the nearest in number of chips."""
    choices = [(name, chips) for name, tpu in TPUS.items() for chips, one in tpu.slices.items() if one.hosts == 1]
    choices.sort(key=lambda it: (it[0] != accelerator.name, abs(math.log2(it[1]) - math.log2(accelerator.count or 1))))
    return [f"{name}-{chips}" for name, chips in choices[:limit]]
