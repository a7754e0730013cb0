"""Which of several processes this one is, and what they know of each other (``checkpointing`` 3.10).

Whoever starts several processes says so in some way; the ways are asked in the order of how much they know about the
computation. Process 0 leads: it alone keeps records, commits and clears up.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kinetic.model.errors import UnsupportedParameter

ENV_PATIENCE = "KINETIC_HOSTS_TIMEOUT"
"""Seconds for which processes of one trial wait for each other."""
PATIENCE = 600.0


class Host(NamedTuple):
    """The place of this process."""

    process: int = 0
    processes: int = 1

    @property
    def leads(self) -> bool:
        return self.process == 0


ALONE = Host()


@dataclass(frozen=True)
class Group:
    """Processes that have found each other: one life of one attempt."""

    host: Host
    attempt: int
    folder: str
    """URI, with a final slash, of what they tell each other."""
    seats: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By process: the ``nonce`` that it alone knows to be its own, and its ``machine``."""
    saved: int = 0
    """So many checkpoints has a former life of this attempt numbered."""

    @property
    def here(self) -> list[int]:
        """Processes on this machine."""
        mine = self.seats[self.host.process]["machine"]
        return sorted(process for process, seat in self.seats.items() if seat["machine"] == mine)

    @property
    def others(self) -> range:
        """All but the leader."""
        return range(1, self.host.processes)

    def nonce(self, process: int = 0) -> str:
        return self.seats[process]["nonce"]


def find_host(
    process: int | None = None, processes: int | None = None, environ: Mapping[str, str] = os.environ
) -> Host:
    """This process, as it says itself, else as JAX, PyTorch's launchers, TPUs, LeaderWorkerSets or Jobs say.

    :raises UnsupportedParameter: the number of processes is not known, or not above ``process``; or there are several
        and ``process`` is not said.
    """
    index: int | None
    if process is None and processes is None:
        index, count = _of_jax() or _of_environment(environ)
    else:
        index = 0 if process is None and (processes or 1) <= 1 else process
        count = processes if processes is not None or process else 1
    if index is None or count is None or not 0 <= index < count:
        raise UnsupportedParameter(
            f"This is process {'?' if index is None else index} of {'an unknown number' if count is None else count}.",
            advice="Pass both to job.trial(process=, processes=): processes count from 0 to processes - 1.",
        )
    return Host(index, count)


def patience(environ: Mapping[str, str] = os.environ) -> float:
    try:
        return float(environ.get(ENV_PATIENCE) or PATIENCE)
    except ValueError:
        return PATIENCE


def pauses(first: float = 0.05, longest: float = 1.0) -> Iterator[float]:
    """Growing ones, for looking whether others have got so far."""
    while True:
        yield first
        first = min(1.5 * first, longest)


def machine() -> str:
    """Equal for processes that share the folder of temporary files."""
    facts = Path(tempfile.gettempdir()).stat()
    return f"{os.uname().nodename} {facts.st_dev}:{facts.st_ino}"


def together() -> bool:
    """Several processes compute together with JAX."""
    jax = sys.modules.get("jax")
    initialized = getattr(getattr(jax, "distributed", None), "is_initialized", None)
    return bool(initialized and initialized())


def jax_listens() -> bool:
    """JAX has taken SIGTERM, for itself alone, and knows at which step all of its processes stop."""
    return together() and bool(getattr(sys.modules["jax"].config, "jax_enable_preemption_service", True))


def _of_jax() -> tuple[int, int | None] | None:
    if not together():
        return None
    jax = sys.modules["jax"]
    return jax.process_index(), jax.process_count()


def _of_environment(environ: Mapping[str, str]) -> tuple[int, int | None]:
    """The first that is whole, else the first index that is there: a first process of nobody knows how many is alone,
    as far as it can know."""
    slices = _number(environ, "MEGASCALE_NUM_SLICES") or 1
    slice_ = _number(environ, "MEGASCALE_SLICE_ID")
    hosts = len(environ.get("TPU_WORKER_HOSTNAMES", "").split(",")) if environ.get("TPU_WORKER_HOSTNAMES") else None
    tpu = _number(environ, "TPU_WORKER_ID")
    if tpu is not None and hosts is not None and slice_ is not None and slices > 1:
        tpu, hosts = slice_ * hosts + tpu, slices * hosts
    found = (
        (_number(environ, "RANK"), _number(environ, "WORLD_SIZE")),
        (tpu, hosts),
        (_number(environ, "LWS_WORKER_INDEX"), _number(environ, "LWS_GROUP_SIZE")),
        (_number(environ, "JOB_COMPLETION_INDEX"), None),
    )
    there = [(index, count) for index, count in found if index is not None]
    index, count = next((each for each in there if each[1] is not None), there[0] if there else (0, 1))
    return index, count if count is not None or index else 1


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "").strip()
    return int(text) if text.isdecimal() else None
