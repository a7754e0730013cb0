"""Names that are computed, never chosen twice.

Job ids come from a nonce that is written down before the first call, so a submitter that dies at any
point comes back to the same name (``design`` 3.1). Output directories come from the task's identity,
so a retry comes back to the same checkpoints (``checkpointing`` 3.2).
"""

from __future__ import annotations

import hashlib
import re
import secrets

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.spec import TaskIdentity

MAX_SEGMENT = 200
"""Longest path segment we make: file systems stop at 255 bytes, object names at 1,024 in all."""

_SHARED = "trials"
_OURS = re.compile(r"job-[0-9a-f]{16}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]")


def new_nonce() -> str:
    """128 random bits: two installations on one cluster never meet."""
    return secrets.token_hex(16)


def job_id(nonce: str, n: int) -> str:
    """``job-`` and 16 hex digits for the n-th submission under a nonce (design 3.1)."""
    return "job-" + hashlib.sha256(f"{nonce}/{n}".encode()).hexdigest()[:16]


def is_ours(job: str) -> bool:
    """Whether :func:`job_id` makes such ids. Those of upstream's client have 8 digits (contract 3.1)."""
    return _OURS.fullmatch(job) is not None


def k8s_name(job: str) -> str:
    """Name of the Job object (contract M4)."""
    return f"kinetic-{job}"


def object_names(job: str) -> tuple[str, ...]:
    """Names that the object of a job may have, ours or upstream's (contract 3.2)."""
    return k8s_name(job), f"keras-pathways-{job}"


def slug(text: str) -> str:
    """A path segment that is unique for ``text`` and readable: unsafe characters become ``-`` and a digest is added."""
    safe = _UNSAFE.sub("-", text)[:MAX_SEGMENT].strip(".") or "-"
    if safe == text:
        return text
    return f"{safe[: MAX_SEGMENT - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def output_dir(root: str, identity: TaskIdentity, generation: int = 1) -> str:
    """Directory of a task instance's own trial: ``{root}/{dag}/{task}/{run}[/{map index}][~generation]``.

    :raises ConfigurationError: the root is so long that the directory could not be made.
    """
    dag = slug(identity.dag_id) if identity.dag_id != _SHARED else f"{_SHARED}~"  # no slug holds a ~
    parts = [root.rstrip("/"), dag, slug(identity.task_id), slug(identity.run_id)]
    if identity.map_index >= 0:
        parts.append(str(identity.map_index))
    return of_generation("/".join(parts), generation)


def shared_dir(root: str, experiment: str, trial: str) -> str:
    """Directory of a trial that a user has named: ``{root}/trials/{experiment}/{trial}``."""
    return check_length(f"{root.rstrip('/')}/{_SHARED}/{slug(experiment)}/{slug(trial)}", "output_dir")


def of_generation(directory: str, generation: int) -> str:
    """The directory, or the one beside it in which a trial was begun anew. No slug holds a ``~``."""
    return check_length(directory + (f"~{generation}" if generation > 1 else ""), "output_dir")


def check_length(uri: str, parameter: str, limit: int = 900) -> str:
    """``uri`` itself, or an error that names the parameter: object names end at 1,024 bytes and we append to it."""
    if len(uri.encode()) > limit:
        raise ConfigurationError(
            f"`{parameter}` is {len(uri.encode())} bytes long; at most {limit} fit into an object name.",
            advice="Shorten `output_root` of the connection or pass a shorter `output_dir`.",
        )
    return uri
