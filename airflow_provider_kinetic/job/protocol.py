"""What the runner inside a job and the provider outside of it have agreed on.

Both sides import this one module, so a name, an exit code or a message format exists once. The
runner may be older than the provider that reads it (the job was submitted before an upgrade), hence
every message carries a version and readers ignore keys that they do not know.

Names on the object store and the shape of ``result.pkl`` belong to upstream (``contract`` 5.1, 5.5,
7.5); exit codes above 100, environment variables and the termination message are our own.
"""

from __future__ import annotations

import json
from typing import Any

VERSION = 1

# Objects under ``{store root}/{job id}/`` (contract 5.1) and ours beside them.
HANDLE = "handle.json"
PAYLOAD = "payload.pkl"
CONTEXT = "context.zip"
REQUIREMENTS = "requirements.txt"
RESULT = "result.pkl"
RESULT_JSON = "result.json"
RUNNER = "runner.pyz"
CANCELLED = "cancelled.json"

# Environment of the job. The first four are upstream's (contract 3.3).
ENV_BACKEND = "KERAS_BACKEND"
ENV_PLATFORM = "JAX_PLATFORMS"
ENV_JOB_ID = "JOB_ID"
ENV_BUCKET = "GCS_BUCKET"
ENV_OUTPUT_DIR = "KINETIC_OUTPUT_DIR"
ENV_PYTHON = "KINETIC_PYTHON"  # "3.11": the submitter's minor version; pickled code is not portable across it
ENV_TERMINATION_LOG = "KINETIC_TERMINATION_LOG"
ENV_RESULT_FORMAT = "KINETIC_RESULT_FORMAT"  # "pickle" (default) or "json"
ENV_MAX_PREEMPTIONS = "KINETIC_MAX_PREEMPTIONS"
ENV_STOP_GRACE = "KINETIC_STOP_GRACE"  # seconds between SIGTERM and SIGKILL
ENV_MASKED = "KINETIC_MASKED"  # names of variables whose values the job's log must not show, with spaces between
ENV_STALL_TIMEOUT = "KINETIC_STALL_TIMEOUT"  # seconds without progress after which a function is ended
ENV_PULSE = "KINETIC_PULSE"  # set by the runner: this file is touched whenever the function got on
ENV_STOP_FILE = "KINETIC_STOP_FILE"  # set by the runner: this file exists from the moment a stop was asked for
ENV_SPOOL = "KINETIC_SPOOL"  # set by the runner: folder for metrics that are not stored yet
ENV_ATTEMPT = "KINETIC_ATTEMPT"  # set by the runner: the number of this start; "0" where no records are kept
# Of the Airflow task, for ``trial.json``; all optional.
ENV_DAG_ID = "KINETIC_DAG_ID"
ENV_TASK_ID = "KINETIC_TASK_ID"
ENV_RUN_ID = "KINETIC_RUN_ID"
ENV_MAP_INDEX = "KINETIC_MAP_INDEX"
ENV_TRIAL = "KINETIC_TRIAL"  # JSON: experiment, trial, args (masked, cut), args_digest
ENV_RESTORE_FROM = "KINETIC_RESTORE_FROM"  # URI of the checkpoint that a trial without one of its own begins with

# Exit codes. 0 and 1 are upstream's (contract 7.5).
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BUDGET_SPENT = 117  # preempted too often: the platform must not start another attempt
EXIT_STALLED = 118  # no progress for too long: a new task try may go on, the platform must not
EXIT_PREEMPTED = 143  # 128 + SIGTERM: stopped on request, another attempt continues
FINAL_EXITS = (EXIT_BUDGET_SPENT, EXIT_STALLED)
"""After these the platform starts no other attempt, also when the machine is taken away meanwhile."""

DEFAULT_TERMINATION_LOG = "/dev/termination-log"


def encode_termination(
    *, outcome: str, phase: str, attempt: int, objects: dict[str, dict[str, Any]], reason: str = ""
) -> bytes:
    """The termination message: at most 4 KiB of JSON that the platform keeps with the finished container.

    ``outcome`` is ``"success"``, ``"failure"``, ``"preempted"``, ``"stalled"`` or
    ``"budget_spent"``; ``objects`` maps an object's
    base name to ``{"sha256": hex, "size": bytes}``, and of a value also ``"type"``, its qualified name, and ``"json"``,
    whether it consists of JSON's own types. Limit: Kubernetes, ``terminationMessagePath``.
    """
    message = {
        "v": VERSION,
        "outcome": outcome,
        "phase": phase,
        "attempt": attempt,
        "objects": objects,
        "reason": " ".join(reason.split()).encode("utf-8", "replace")[:1024].decode("utf-8", "ignore"),
    }
    return json.dumps(message, sort_keys=True, ensure_ascii=False).encode()


def decode_termination(raw: bytes) -> dict[str, Any] | None:
    """The message as a dict, or None when ``raw`` is not one of ours (empty, cut off, a newer version)."""
    try:
        message = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("v") != VERSION:
        return None
    return message
