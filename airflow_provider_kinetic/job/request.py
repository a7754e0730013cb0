"""What one start was asked to do: flags and environment, read once and never looked up again.

Flags are upstream's (``contract`` 3.3, 7.1); unknown ones are ignored, because a newer submitter may
send more. The runner's own settings travel in the environment, so that the attempt record and the logs
can begin before anything of the user's is opened.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.storage import path_to_uri

DEFAULT_GRACE = 30.0
DEFAULT_PREEMPTIONS = 10

_TRIAL = {
    "dag_id": protocol.ENV_DAG_ID,
    "task_id": protocol.ENV_TASK_ID,
    "run_id": protocol.ENV_RUN_ID,
    "map_index": protocol.ENV_MAP_INDEX,
}


@dataclass(frozen=True)
class Request:
    """One start. An empty string means "not given"; times are seconds."""

    context_uri: str
    payload_uri: str
    result_uri: str
    requirements_uri: str = ""
    payload_sha256: str = ""
    context_sha256: str = ""
    requirements_sha256: str = ""
    job_id: str = ""
    output_dir: str = ""
    """URI without a final slash; empty for a job that keeps no records."""
    python: str = ""
    termination_log: str = ""
    result_format: str = "pickle"
    max_preemptions: int = DEFAULT_PREEMPTIONS
    stop_grace: float = DEFAULT_GRACE
    stall_timeout: float = 0.0
    """0: nobody looks whether the function gets on."""
    host_index: int = 0
    trial: Mapping[str, Any] = field(default_factory=dict)
    """What the environment says of the Airflow task and its trial."""

    @classmethod
    def parse(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Request:
        """:raises ValueError: the context, payload or result URI is missing."""
        flags = _flags(argv)
        missing = [name for name in ("context-gcs", "payload-gcs", "result-gcs") if not flags.get(name)]
        if missing:
            raise ValueError("missing " + ", ".join(f"--{name}" for name in missing))
        return cls(
            context_uri=flags["context-gcs"],
            payload_uri=flags["payload-gcs"],
            result_uri=flags["result-gcs"],
            requirements_uri=flags.get("requirements-gcs", ""),
            payload_sha256=flags.get("payload-sha256", ""),
            context_sha256=flags.get("context-sha256", ""),
            requirements_sha256=flags.get("requirements-sha256", ""),
            job_id=environ.get(protocol.ENV_JOB_ID, ""),
            output_dir=_directory(environ.get(protocol.ENV_OUTPUT_DIR, "")),
            python=environ.get(protocol.ENV_PYTHON, ""),
            termination_log=environ.get(protocol.ENV_TERMINATION_LOG, ""),
            result_format=environ.get(protocol.ENV_RESULT_FORMAT) or "pickle",
            max_preemptions=int(_number(environ, protocol.ENV_MAX_PREEMPTIONS, DEFAULT_PREEMPTIONS)),
            stop_grace=_number(environ, protocol.ENV_STOP_GRACE, DEFAULT_GRACE),
            stall_timeout=_number(environ, protocol.ENV_STALL_TIMEOUT, 0.0),
            host_index=host_index(environ),
            trial=trial_facts(environ),
        )

    @property
    def records(self) -> bool:
        """Only the first host keeps records and logs, and only where they have a place to survive."""
        return bool(self.output_dir and self.job_id and self.host_index == 0)

    @property
    def on_this_machine(self) -> bool:
        """The job shares its file system with others, and with what comes after it."""
        return self.result_uri.startswith("file:")

    @property
    def own_result_uri(self) -> str:
        """Where this host writes: the first one the given object, others one beside it (contract 7.2)."""
        if self.host_index == 0:
            return self.result_uri
        return f"{self.result_uri.rpartition('/')[0]}/result-worker-{self.host_index}.pkl"

    @property
    def json_uri(self) -> str:
        return f"{self.result_uri.rpartition('/')[0]}/{protocol.RESULT_JSON}"


def trial_facts(environ: Mapping[str, str]) -> dict[str, Any]:
    """For the trial's records: whose job it is, what it was called with, and what it began with."""
    facts: dict[str, Any] = {name: environ[variable] for name, variable in _TRIAL.items() if environ.get(variable)}
    try:
        said = json.loads(environ.get(protocol.ENV_TRIAL) or "{}")
    except ValueError:
        said = None
    if isinstance(said, dict):
        facts.update(said)
    else:
        print(f"kinetic: {protocol.ENV_TRIAL} is not a JSON object and is ignored", file=sys.stderr)
    if environ.get(protocol.ENV_RESTORE_FROM):
        facts["source"] = environ[protocol.ENV_RESTORE_FROM]
    return facts


def host_index(environ: Mapping[str, str]) -> int:
    """First usable of ``TPU_WORKER_ID`` and ``LWS_WORKER_INDEX``, else 0 (contract 7.2)."""
    for name in ("TPU_WORKER_ID", "LWS_WORKER_INDEX"):
        text = environ.get(name, "").strip()
        if text.isdecimal():
            return int(text)
        if text:
            print(f"kinetic: {name}={text!r} is not a host index and is ignored", file=sys.stderr)
    return 0


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """``--name value`` and ``--name=value``; a flag without a value is empty."""
    found: dict[str, str] = {}
    name = ""
    for item in argv:
        if item.startswith("--"):
            name, _, value = item[2:].partition("=")
            found[name] = value
        elif name:
            found[name] = item
            name = ""
    return found


def _directory(text: str) -> str:
    return (text if "://" in text or not text else path_to_uri(text)).rstrip("/")


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        print(f"kinetic: {name}={text!r} is not a number, {default:g} is used", file=sys.stderr)
        return default
