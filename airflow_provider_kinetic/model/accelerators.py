"""From the word for an accelerator to what a pod has to ask for (contract 2).

The grammar is upstream's, so the same word means the same machine in either client: ``l4``, ``a100x4``,
``v5litepod-8``, ``v5e-2x4``, ``gpu:16``, ``tpu-v5e-1``, ``cpu``, each with ``:spot`` behind it. Numbers after
the name of a TPU are chips.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from airflow_provider_kinetic.model.accelerator_tables import (
    GPU_ALIASES,
    GPU_PREFERENCE,
    GPUS,
    TPU_ALIASES,
    TPU_PREFERENCE,
    TPUS,
)
from airflow_provider_kinetic.model.errors import AcceleratorError

Category = Literal["cpu", "gpu", "tpu"]

_RESOURCES = {"gpu": "nvidia.com/gpu", "tpu": "google.com/tpu"}
_SPOT = "cloud.google.com/gke-spot"
_NUMBER = "0*([0-9]{1,5})"
_CPU = re.compile("cpu(:[0-9]+)?")
_COUNTED_GPU = re.compile(f"([^x]+)x{_NUMBER}")
_SIZED_TPU = re.compile(f"(.+)-(?:{_NUMBER}|([0-9]+(?:x[0-9]+){{1,2}}))")


@dataclass(frozen=True)
class Accelerator:
    """One parsed accelerator. ``raw`` is what was written; handles carry it unchanged (contract 1.2)."""

    raw: str
    category: Category
    name: str
    count: int = 0
    """GPUs or TPU chips over all hosts; 0 for a CPU."""
    hosts: int = 1
    topology: str = ""
    """``2x4``; empty unless a TPU."""
    machine_type: str = ""
    """The machine that a node pool for it is made of; empty for a CPU."""
    label: str = ""
    """GKE's word for it in node labels; empty for a CPU."""
    spot: bool = False

    @property
    def chips_per_host(self) -> int:
        return self.count // self.hosts

    @property
    def jax_platform(self) -> str:
        """Value of ``JAX_PLATFORMS`` in the job."""
        return self.category

    @property
    def backend(self) -> Literal["gke", "pathways"]:
        """Upstream's word for one pod (``gke``) or a group of hosts (``pathways``)."""
        return "pathways" if self.hosts > 1 else "gke"

    @property
    def canonical(self) -> str:
        """The one full spelling, without spot: ``l4x1``, ``v5litepod-8``, ``cpu``."""
        separator = {"gpu": "x", "tpu": "-"}.get(self.category)
        return f"{self.name}{separator}{self.count}" if separator else self.name

    @property
    def resource(self) -> dict[str, str]:
        """Limits and requests of one host's container."""
        return {_RESOURCES[self.category]: str(self.chips_per_host)} if self.category in _RESOURCES else {}

    @property
    def node_selector(self) -> dict[str, str]:
        selector = {}
        if self.category == "gpu":
            selector["cloud.google.com/gke-accelerator"] = self.label
        if self.category == "tpu":
            selector["cloud.google.com/gke-tpu-accelerator"] = self.label
            selector["cloud.google.com/gke-tpu-topology"] = self.topology
        if self.spot:
            selector[_SPOT] = "true"
        return selector

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """The Spot one keeps its value: without it no Spot pool that has the taint would do (contract P8)."""
        if self.category not in _RESOURCES:
            return []
        tolerations = [{"key": _RESOURCES[self.category], "operator": "Exists", "effect": "NoSchedule"}]
        if self.spot:
            tolerations.append({"key": _SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"})
        return tolerations


def parse(text: str, *, spot: bool = False) -> Accelerator:
    """The accelerator that ``text`` names; ``spot`` is the parameter beside it, ``:spot`` in the text does the same.

    A CPU is never Spot and has no count, whatever was written (contract 2.3).

    :raises AcceleratorError: there is none of that name or size; the message names near ones and what exists.
    """
    if not isinstance(text, str):
        raise AcceleratorError(f"The accelerator must be a text, not {text!r}.", advice=_existing())
    word = text.strip().lower()
    spot = spot or word.endswith(":spot")
    word = word.removesuffix(":spot")
    if _CPU.fullmatch(word):
        return Accelerator(raw=text, category="cpu", name="cpu")
    prefix, body = _prefix({"gpu": "gpu:l4", "tpu": "tpu:v5litepod"}.get(word, word))
    found = None
    if prefix != "tpu":
        found = _gpu(text, body, spot, only=prefix == "gpu")
    if found is None and prefix != "gpu":
        found = _tpu(text, body, spot, only=prefix == "tpu")
    if found is None:
        raise _unknown(text, body)
    return found


def _prefix(word: str) -> tuple[str, str]:
    for prefix in ("gpu", "tpu"):
        if word.startswith((f"{prefix}:", f"{prefix}-")):
            return prefix, word[4:]
    return "", word


def _gpu(raw: str, body: str, spot: bool, *, only: bool) -> Accelerator | None:
    if number := _number(body):
        name = next((name for name in GPU_PREFERENCE if number in GPUS[name].machines), None)
        if name is None and only:
            counts = sorted({count for gpu in GPUS.values() for count in gpu.machines})
            raise AcceleratorError(f"No GPU comes in the number {number}.", advice=f"There are: {_listed(counts)}.")
        count = number
    else:
        counted = _COUNTED_GPU.fullmatch(body)
        word, count = (counted[1], int(counted[2])) if counted else (body, 1)
        name = GPU_ALIASES.get(word, word)
    if name not in GPUS:
        return None
    gpu = GPUS[name]
    if count not in gpu.machines:
        raise AcceleratorError(
            f"{raw!r}: there is no {name} in the number {count}.",
            advice=f"{name} comes in {_listed(gpu.machines)}: {', '.join(f'{name}x{n}' for n in gpu.machines)}.",
        )
    return Accelerator(raw, "gpu", name, count, machine_type=gpu.machines[count], label=gpu.label, spot=spot)


def _tpu(raw: str, body: str, spot: bool, *, only: bool) -> Accelerator | None:
    if number := _number(body):
        name = next((name for name in TPU_PREFERENCE if number in TPUS[name].slices), None)
        if name is None and only:
            chips = sorted({chips for tpu in TPUS.values() for chips in tpu.slices})
            raise AcceleratorError(f"No TPU has {number} chips.", advice=f"There are: {_listed(chips)}.")
        return _slice(raw, name, number, spot) if name else None
    name = TPU_ALIASES.get(body, body)
    if name in TPUS:
        return _slice(raw, name, TPUS[name].default, spot)
    sized = _SIZED_TPU.fullmatch(body)
    name = TPU_ALIASES.get(sized[1], sized[1]) if sized else ""
    if not sized or name not in TPUS:
        return None
    topologies = {TPUS[name].slices[chips].topology: chips for chips in sorted(TPUS[name].slices)}
    size = int(sized[2]) if sized[2] else topologies.get(sized[3], 0)
    if size not in TPUS[name].slices:
        sizes = ", ".join(f"{name}-{chips} ({topology})" for topology, chips in topologies.items())
        raise AcceleratorError(
            f"{raw!r}: there is no {name} of the size {sized[2] or sized[3]}.",
            advice=f"The number is of chips. There are: {sizes}.",
        )
    return _slice(raw, name, size, spot)


def _slice(raw: str, name: str, chips: int, spot: bool) -> Accelerator:
    one = TPUS[name].slices[chips]
    return Accelerator(raw, "tpu", name, chips, one.hosts, one.topology, one.machine, TPUS[name].label, spot)


def _number(body: str) -> int:
    """The number that the text is; 0 where it is none, which no accelerator comes in."""
    match = re.fullmatch(_NUMBER, body)
    return int(match[1]) if match else 0


def _unknown(raw: str, body: str) -> AcceleratorError:
    near = difflib.get_close_matches(body, _spellings(), n=3, cutoff=0.6) if len(body) < 100 else []
    hint = f"Near: {', '.join(near)}. " if near else ""
    return AcceleratorError(f"There is no accelerator {raw[:100]!r}.", advice=hint + _existing())


def _spellings() -> list[str]:
    gpus = [spelling for name in GPUS for spelling in (name, *(f"{name}x{n}" for n in GPUS[name].machines))]
    names = {**{name: name for name in TPUS}, **TPU_ALIASES}
    tpus = [
        spelling for word, name in names.items() for spelling in (word, *(f"{word}-{n}" for n in TPUS[name].slices))
    ]
    return ["cpu", *gpus, *GPU_ALIASES, *tpus]


def _existing() -> str:
    tpus = ", ".join([*TPUS, *(f"{alias} (= {name})" for alias, name in TPU_ALIASES.items())])
    return f"There are: cpu; GPUs {', '.join(GPUS)}; TPUs {tpus}."


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
