"""What is restored comes in parts, in any order, and once more where it changed on the way."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, noise, read, write

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.arrivals import LEAST, MOST, Arrival, part_of
from airflow_provider_kinetic.job.digests import BLOCK
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.restoring import Restorer
from airflow_provider_kinetic.job.vaults import FileVault
from airflow_provider_kinetic.model.errors import CheckpointCorrupt

LARGE = 2 * LEAST + 1
FILES = {"large": noise("large", LARGE), "small": b"1", "empty": b"", "folder/one part": noise("part", LEAST)}


@pytest.fixture
def checkpoint(place):
    with place.begin().save(1) as folder:
        write(folder, FILES)
    return place.attempts[0].latest


def test_large_and_small_files_come_back(checkpoint):
    with checkpoint.open() as folder:
        assert read(folder) == FILES


@IN_CLOUD_STORAGE
def test_bytes_that_change_on_the_way_are_fetched_once_more(checkpoint, gcs, tmp_path):
    def corrupt(path):
        if path != "metadata.json":  # which is not fetched
            gcs.corrupt("download")
        return True

    folder = Restorer(checkpoint.uri).download(checkpoint, tmp_path / "a", corrupt)
    assert read(folder) == FILES


@IN_CLOUD_STORAGE
def test_bytes_that_change_each_time_are_damage(checkpoint, gcs):
    gcs.corrupt("download", times=100)
    with pytest.raises(CheckpointCorrupt, match="step 1"), checkpoint.open():
        pass
    gcs.faults.clear()


@IN_CLOUD_STORAGE
def test_connections_that_break_are_not_damage(checkpoint, gcs):
    gcs.cut("download", 300_000, times=5)
    gcs.fail("download", times=3)
    with checkpoint.open() as folder:
        assert read(folder) == FILES


@pytest.mark.parametrize("change", [b"2" + FILES["large"][1:], FILES["large"] + b"2", FILES["large"][:-1], b""])
def test_a_large_file_that_changed_in_the_store_is_damage(place, checkpoint, change):
    place.vault.write(f"{checkpoint.uri}/large", change)
    with pytest.raises(CheckpointCorrupt, match="large has changed"), checkpoint.open():
        pass


def test_parts_may_come_in_any_order_over_several_connections(tmp_path):
    content = noise("parts", 5 * BLOCK + 500)
    (tmp_path / "source").write_bytes(content)
    file = manifests.File("a", len(content), digests.of_bytes(content), "", "1")
    for seed in range(10):
        target = tmp_path / f"target{seed}"
        arrival = Arrival(FileVault(), path_to_uri(tmp_path / "source"), file, target, BLOCK)
        parts = list(arrival.parts)
        random.Random(seed).shuffle(parts)
        with ThreadPoolExecutor(4) as connections:
            list(connections.map(arrival.fetch, parts))
        assert arrival.whole
        assert target.read_bytes() == content


def test_what_arrives_is_not_read_again(tmp_path):
    content = noise("parts", 2 * BLOCK)
    (tmp_path / "source").write_bytes(content)
    file = manifests.File("a", len(content), digests.of_bytes(content), "", "1")
    arrival = Arrival(FileVault(), path_to_uri(tmp_path / "source"), file, Path(os.devnull), BLOCK)
    for start in reversed(arrival.parts):
        arrival.fetch(start)
    assert arrival.whole


@pytest.mark.parametrize("total", [0, 1, 280 << 20, 1 << 30, 50 << 30])
def test_every_connection_has_several_parts_of_a_size_worth_a_round_trip(total):
    part = part_of(total)
    assert LEAST <= part <= MOST
    assert part % BLOCK == 0
    assert part == LEAST or total // part >= 64
