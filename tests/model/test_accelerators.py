"""Words for accelerators and what they ask of a cluster; tables and examples of contract 2, written out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.model.accelerator_tables import GPUS, TPUS
from airflow_provider_kinetic.model.accelerators import Accelerator, parse
from airflow_provider_kinetic.model.errors import AcceleratorError

GPU_ROWS = """
l4 nvidia-l4 1 g2-standard-4 2 g2-standard-24 4 g2-standard-48 8 g2-standard-96
t4 nvidia-tesla-t4 1 n1-standard-4 2 n1-standard-8 4 n1-standard-16
v100 nvidia-tesla-v100 1 n1-standard-8 2 n1-standard-16 4 n1-standard-32 8 n1-standard-64
a100 nvidia-tesla-a100 1 a2-highgpu-1g 2 a2-highgpu-2g 4 a2-highgpu-4g 8 a2-highgpu-8g 16 a2-megagpu-16g
a100-80gb nvidia-a100-80gb 1 a2-ultragpu-1g 2 a2-ultragpu-2g 4 a2-ultragpu-4g 8 a2-ultragpu-8g 16 a2-ultragpu-16g
h100 nvidia-h100-80gb 1 a3-highgpu-1g 2 a3-highgpu-2g 4 a3-highgpu-4g 8 a3-highgpu-8g
p4 nvidia-tesla-p4 1 n1-standard-4 2 n1-standard-8 4 n1-standard-16
p100 nvidia-tesla-p100 1 n1-standard-4 2 n1-standard-8 4 n1-standard-16
"""
TPU_ROWS = """
v3 tpu-v3-podslice 4 2x2 ct3-hightpu-4t 1 4
v3 tpu-v3-podslice 16 4x4 ct3p-hightpu-4t 4 4
v3 tpu-v3-podslice 32 4x8 ct3p-hightpu-4t 8 4
v3 tpu-v3-podslice 64 8x8 ct3p-hightpu-4t 16 4
v3 tpu-v3-podslice 128 8x16 ct3p-hightpu-4t 32 4
v3 tpu-v3-podslice 256 16x16 ct3p-hightpu-4t 64 4
v3 tpu-v3-podslice 512 16x32 ct3p-hightpu-4t 128 4
v3 tpu-v3-podslice 1024 32x32 ct3p-hightpu-4t 256 4
v3 tpu-v3-podslice 2048 32x64 ct3p-hightpu-4t 512 4
v4 tpu-v4-podslice 4 2x2x1 ct4p-hightpu-4t 1 4
v4 tpu-v4-podslice 8 2x2x2 ct4p-hightpu-4t 2 4
v4 tpu-v4-podslice 16 2x2x4 ct4p-hightpu-4t 4 4
v4 tpu-v4-podslice 32 2x4x4 ct4p-hightpu-4t 8 4
v4 tpu-v4-podslice 64 4x4x4 ct4p-hightpu-4t 16 4
v4 tpu-v4-podslice 128 4x4x8 ct4p-hightpu-4t 32 4
v4 tpu-v4-podslice 256 4x8x8 ct4p-hightpu-4t 64 4
v4 tpu-v4-podslice 512 8x8x8 ct4p-hightpu-4t 128 4
v4 tpu-v4-podslice 1024 8x8x16 ct4p-hightpu-4t 256 4
v4 tpu-v4-podslice 2048 8x16x16 ct4p-hightpu-4t 512 4
v4 tpu-v4-podslice 4096 16x16x16 ct4p-hightpu-4t 1024 4
v5litepod tpu-v5-lite-podslice 1 1x1 ct5lp-hightpu-1t 1 1
v5litepod tpu-v5-lite-podslice 4 2x2 ct5lp-hightpu-4t 1 4
v5litepod tpu-v5-lite-podslice 8 2x4 ct5lp-hightpu-8t 1 8
v5litepod tpu-v5-lite-podslice 16 4x4 ct5lp-hightpu-4t 4 4
v5litepod tpu-v5-lite-podslice 32 4x8 ct5lp-hightpu-4t 8 4
v5litepod tpu-v5-lite-podslice 64 8x8 ct5lp-hightpu-4t 16 4
v5litepod tpu-v5-lite-podslice 128 8x16 ct5lp-hightpu-4t 32 4
v5litepod tpu-v5-lite-podslice 256 16x16 ct5lp-hightpu-4t 64 4
v5p tpu-v5p-slice 8 2x2x2 ct5p-hightpu-4t 2 4
v5p tpu-v5p-slice 16 2x2x4 ct5p-hightpu-4t 4 4
v5p tpu-v5p-slice 32 2x4x4 ct5p-hightpu-4t 8 4
v6e tpu-v6e-slice 8 2x4 ct6e-standard-4t 2 4
v6e tpu-v6e-slice 16 4x4 ct6e-standard-4t 4 4
"""


def gpu_sizes() -> list[tuple[str, str, int, str]]:
    sizes = []
    for name, label, *pairs in (row.split() for row in GPU_ROWS.strip().splitlines()):
        sizes += [(name, label, int(count), machine) for count, machine in zip(pairs[::2], pairs[1::2], strict=True)]
    return sizes


@pytest.mark.parametrize(("name", "label", "count", "machine"), gpu_sizes())
def test_every_gpu_in_every_number(name: str, label: str, count: int, machine: str) -> None:
    for text in (f"{name}x{count}", f"{label}x{count}", f"gpu:{name}x{count}", f"GPU-{name}x{count}"):
        found = parse(text)
        assert found.raw == text
        assert (found.category, found.name, found.count, found.hosts) == ("gpu", name, count, 1)
        assert (found.machine_type, found.topology, found.backend) == (machine, "", "gke")
        assert found.node_selector == {"cloud.google.com/gke-accelerator": label}
        assert found.resource == {"nvidia.com/gpu": str(count)}
        assert found.tolerations == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert found.jax_platform == "gpu"
    assert parse(name).count == parse(label).count == 1


@pytest.mark.parametrize("row", TPU_ROWS.strip().splitlines())
def test_every_tpu_in_every_size(row: str) -> None:
    name, label, chips, topology, machine, hosts, per_host = row.split()
    for text in (f"{name}-{chips}", f"{name}-{topology}", f"tpu:{name}-{chips}", f"tpu-{name}-{topology}"):
        found = parse(text)
        assert (found.category, found.name, found.count, found.topology) == ("tpu", name, int(chips), topology)
        assert (found.machine_type, found.hosts, found.chips_per_host) == (machine, int(hosts), int(per_host))
        assert found.node_selector == {
            "cloud.google.com/gke-tpu-accelerator": label,
            "cloud.google.com/gke-tpu-topology": topology,
        }
        assert found.resource == {"google.com/tpu": per_host}
        assert found.tolerations == [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert found.jax_platform == "tpu"
        assert found.backend == ("gke" if hosts == "1" else "pathways")


def test_the_tables_hold_nothing_else() -> None:
    sizes = {(name, count) for name, gpu in GPUS.items() for count in gpu.machines}
    assert sizes == {(name, count) for name, _, count, _ in gpu_sizes()}
    slices = {(name, chips) for name, tpu in TPUS.items() for chips in tpu.slices}
    rows = (row.split() for row in TPU_ROWS.strip().splitlines())
    assert slices == {(name, int(chips)) for name, _, chips, *_ in rows}


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("gpu", "l4x1"),
        ("tpu", "v5litepod-4"),
        ("4", "h100x4"),
        ("1", "h100x1"),
        ("16", "a100-80gbx16"),
        ("gpu:16", "a100-80gbx16"),
        ("gpu-16", "a100-80gbx16"),
        ("32", "v5p-32"),
        ("4096", "v4-4096"),
        ("tpu:1", "v5litepod-1"),
        ("tpu:4", "v5litepod-4"),
        ("tpu:8", "v6e-8"),
        ("tpu:16", "v6e-16"),
        ("tpu:32", "v5p-32"),
        ("tpu:64", "v5litepod-64"),
        ("tpu:512", "v4-512"),
        ("tpu:2048", "v4-2048"),
        ("tpu:4096", "v4-4096"),
        ("v3", "v3-4"),
        ("v4", "v4-4"),
        ("v5e", "v5litepod-4"),
        ("v5litepod", "v5litepod-4"),
        ("v5p", "v5p-8"),
        ("v6e", "v6e-8"),
        ("v5e-2x4", "v5litepod-8"),
        ("tpu-v5e-1", "v5litepod-1"),
        ("v4-2x2x2", "v4-8"),
        ("a100-80gbx4", "a100-80gbx4"),
        ("nvidia-tesla-a100x2", "a100x2"),
        ("l4x01", "l4x1"),
        ("v5litepod-08", "v5litepod-8"),
        ("  A100X4 ", "a100x4"),
        ("cpu", "cpu"),
        ("cpu:8", "cpu"),
        ("cpu:spot", "cpu"),
    ],
)
def test_what_upstream_makes_of_it(text: str, means: str) -> None:
    assert parse(text).canonical == means


def test_cpu_asks_for_nothing() -> None:
    for cpu in (parse("cpu"), parse("cpu:8"), parse("cpu:spot"), parse("cpu", spot=True)):
        assert (cpu.category, cpu.count, cpu.hosts, cpu.chips_per_host, cpu.spot) == ("cpu", 0, 1, 0, False)
        assert (cpu.node_selector, cpu.tolerations, cpu.resource, cpu.jax_platform) == ({}, [], {}, "cpu")


@pytest.mark.parametrize("spot", [parse("a100x4:spot"), parse("a100x4", spot=True), parse("a100x4:spot", spot=True)])
def test_spot_keeps_the_value_of_its_toleration(spot: Accelerator) -> None:
    assert spot.spot is True
    assert spot.node_selector["cloud.google.com/gke-spot"] == "true"
    assert spot.tolerations[1] == {
        "key": "cloud.google.com/gke-spot",
        "operator": "Equal",
        "value": "true",
        "effect": "NoSchedule",
    }
    assert parse("tpu:spot").canonical == "v5litepod-4"


ERRORS = "cpu-8,h100-80gb,tpu:l4,gpu:v6e-8,,gpu-,tpu-,l4x0,l4x3,v5litepod-2x02,x4,v2,v3-8,v5p-4,v6e-1,v6e-4,h200,b200"


@pytest.mark.parametrize("text", [*ERRORS.split(","), ":spot", "l4:spot:spot", "gpu:3", "tpu:3", "0", "3", "gpu:cpu"])
def test_what_does_not_exist_is_an_error(text: str) -> None:
    with pytest.raises(AcceleratorError) as caught:
        parse(text)
    assert caught.value.advice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("l4x3", ["l4", "number 3", "1, 2, 4, 8", "l4x8"]),
        ("gpu:3", ["number 3", "1, 2, 4, 8, 16."]),
        ("tpu:3", ["3 chips", "1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096."]),
        ("v6e-4", ["v6e of the size 4", "v6e-8 (2x4), v6e-16 (4x4)", "chips"]),
        ("v5e-2x02", ["size 2x02", "v5litepod-1 (1x1), v5litepod-4 (2x2), v5litepod-8 (2x4)"]),
        ("gpu:v6e-8", ["'gpu:v6e-8'", "v6e-8"]),
        ("h10", ["Near: h100", "a100-80gb", "v5litepod", "v5e (= v5litepod)"]),
        ("v5lightpod-4", ["Near: v5litepod-4"]),
        ("cpu-8", ["Near: cpu"]),
    ],
)
def test_errors_name_the_near_ones_and_what_exists(text: str, words: list[str]) -> None:
    with pytest.raises(AcceleratorError) as caught:
        parse(text)
    assert [word for word in words if word not in str(caught.value)] == []


WORDS = st.lists(
    st.sampled_from(["gpu", "tpu", "cpu", ":", "-", "x", "spot", "l4", "v5e", "v5p", "a100", "2x4", "8", "0", " ", "٣"])
).map("".join)


@given(st.one_of(WORDS, st.text(), st.integers(min_value=0).map(str)), st.booleans())
def test_any_text_is_an_accelerator_or_an_accelerator_error(text: str, spot: bool) -> None:
    try:
        found = parse(text, spot=spot)
    except AcceleratorError:
        return
    assert found.chips_per_host * found.hosts == found.count
    again = parse(found.canonical, spot=found.spot)
    assert (again.node_selector, again.resource) == (found.node_selector, found.resource)


@pytest.mark.parametrize("text", ["l4x" + "9" * 5000, "9" * 5000, "v6e-" + "9" * 5000, "x" * 100_000, None, 4])
def test_absurd_input_is_the_same_error(text: object) -> None:
    with pytest.raises(AcceleratorError) as caught:
        parse(text)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 1000
