"""What GKE offers as upstream knows it (contract 2.1, 2.2): facts only, the grammar is in ``accelerators``.

Upstream's clients parse the same words, so a row that is added here is one that they cannot read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """``machines`` maps a number of GPUs to the machine type that holds them."""

    label: str
    machines: dict[int, str]


@dataclass(frozen=True)
class Slice:
    """One size of a TPU: ``topology``, machine type and number of hosts."""

    topology: str
    machine: str
    hosts: int


@dataclass(frozen=True)
class Tpu:
    """``slices`` maps a number of chips to a slice; ``default`` is the number that the bare name means."""

    label: str
    default: int
    slices: dict[int, Slice]


GPUS: dict[str, Gpu] = {
    "l4": Gpu("nvidia-l4", {n: f"g2-standard-{cpus}" for n, cpus in {1: 4, 2: 24, 4: 48, 8: 96}.items()}),
    "t4": Gpu("nvidia-tesla-t4", {n: f"n1-standard-{n * 4}" for n in (1, 2, 4)}),
    "v100": Gpu("nvidia-tesla-v100", {n: f"n1-standard-{n * 8}" for n in (1, 2, 4, 8)}),
    "a100": Gpu("nvidia-tesla-a100", {**{n: f"a2-highgpu-{n}g" for n in (1, 2, 4, 8)}, 16: "a2-megagpu-16g"}),
    "a100-80gb": Gpu("nvidia-a100-80gb", {n: f"a2-ultragpu-{n}g" for n in (1, 2, 4, 8, 16)}),
    "h100": Gpu("nvidia-h100-80gb", {n: f"a3-highgpu-{n}g" for n in (1, 2, 4, 8)}),
    "p4": Gpu("nvidia-tesla-p4", {n: f"n1-standard-{n * 4}" for n in (1, 2, 4)}),
    "p100": Gpu("nvidia-tesla-p100", {n: f"n1-standard-{n * 4}" for n in (1, 2, 4)}),
}


def _quads(machine: str, *topologies: str) -> dict[int, Slice]:
    """Slices of hosts with four chips each."""
    sized = {_chips(topology): topology for topology in topologies}
    return {chips: Slice(topology, machine, chips // 4) for chips, topology in sized.items()}


def _chips(topology: str) -> int:
    product = 1
    for edge in topology.split("x"):
        product *= int(edge)
    return product


_V3 = ("4x4", "4x8", "8x8", "8x16", "16x16", "16x32", "32x32", "32x64")
_V4_SMALL = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8")
_V4_LARGE = ("4x8x8", "8x8x8", "8x8x16", "8x16x16", "16x16x16")
_V5E = ("2x2", "4x4", "4x8", "8x8", "8x16", "16x16")

TPUS: dict[str, Tpu] = {
    "v3": Tpu("tpu-v3-podslice", 4, {**_quads("ct3-hightpu-4t", "2x2"), **_quads("ct3p-hightpu-4t", *_V3)}),
    "v4": Tpu("tpu-v4-podslice", 4, _quads("ct4p-hightpu-4t", *_V4_SMALL, *_V4_LARGE)),
    "v5litepod": Tpu(
        "tpu-v5-lite-podslice",
        4,
        {
            1: Slice("1x1", "ct5lp-hightpu-1t", 1),
            8: Slice("2x4", "ct5lp-hightpu-8t", 1),
            **_quads("ct5lp-hightpu-4t", *_V5E),
        },
    ),
    "v5p": Tpu("tpu-v5p-slice", 8, _quads("ct5p-hightpu-4t", "2x2x2", "2x2x4", "2x4x4")),
    "v6e": Tpu("tpu-v6e-slice", 8, _quads("ct6e-standard-4t", "2x4", "4x4")),
}

GPU_ALIASES: dict[str, str] = {gpu.label: name for name, gpu in GPUS.items()}
TPU_ALIASES: dict[str, str] = {"v5e": "v5litepod"}

GPU_PREFERENCE = ("h100", "a100-80gb", "a100", "l4", "v100", "t4", "p100", "p4")
"""Which GPU a bare number means: the first that comes in that number."""
TPU_PREFERENCE = ("v6e", "v5p", "v5litepod", "v4", "v3")
