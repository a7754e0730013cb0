"""A job whose objects lie in Cloud Storage, as a submission leaves it: whoever has its command can run it."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from airflow_provider_kinetic.job import bootstrap, protocol
from airflow_provider_kinetic.job.gcs import GcsStorage
from airflow_provider_kinetic.packaging import runner_bundle

JOB = "gs://tests/job-1"
OUTPUT = "gs://tests/outputs/some trial"


def submit(storage: GcsStorage, folder: Path, function: Callable[..., Any], *args: Any) -> tuple[str, ...]:
    """Upload everything; the container's command."""
    context = io.BytesIO()
    with zipfile.ZipFile(context, "w") as archive:
        archive.writestr("rows.csv", "1,2")
    payload = cloudpickle.dumps({"func": function, "args": args, "kwargs": {}, "env_vars": {}})
    bundle = runner_bundle.build(folder / "bundle")
    storage.upload(bundle.path, f"{JOB}/{protocol.RUNNER}", if_absent=True)
    storage.write(f"{JOB}/{protocol.PAYLOAD}", payload, if_absent=True)
    storage.write(f"{JOB}/{protocol.CONTEXT}", context.getvalue(), if_absent=True)
    flags = [
        *("--context-gcs", f"{JOB}/{protocol.CONTEXT}", "--payload-gcs", f"{JOB}/{protocol.PAYLOAD}"),
        *("--result-gcs", f"{JOB}/{protocol.RESULT}", "--payload-sha256", hashlib.sha256(payload).hexdigest()),
    ]
    return bootstrap.command(f"{JOB}/{protocol.RUNNER}", bundle.sha256, flags)


def result(storage: GcsStorage) -> Any:
    """What the function returned."""
    return pickle.loads(storage.read(f"{JOB}/{protocol.RESULT}"))["result"]
