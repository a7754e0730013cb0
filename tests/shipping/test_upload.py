"""Local data becomes objects once, and a reference to them; what cannot be sent is said before anything is."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from data_trees import write
from dock import Before, Dock
from gcs_server import GcsServer

from airflow_provider_kinetic.lifecycle.together import AT_ONCE
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError, InfrastructureError, StoreError
from airflow_provider_kinetic.stores.base import Store

DIGITS = "a1f69ac687fa03aa1561e1ec75b1275f277dcd2db3fa57241b10cc82c5b6fc71"
"""T of the contract's test vectors."""
CACHE, MARKER = f"default/data-cache/{DIGITS}", f"default/data-markers/{DIGITS}"


def test_a_folder_lies_by_its_content(dock: Dock, folder: Path) -> None:
    (reference,) = dock.ship(Data(folder))
    assert (reference.uri, reference.is_dir) == (f"{dock.target.store_root}/{CACHE}", True)
    assert (reference.mount_path, reference.fuse) == (None, False)
    objects = dock.objects()
    objects.pop(f"{CACHE}/empty/", None)  # no listing of files shows a folder
    assert objects == {
        f"{CACHE}/a.txt": b"",
        f"{CACHE}/b.txt": b"B",
        f"{CACHE}/a/z.bin": bytes(range(256)),
        f"{CACHE}/a/inner/k": b"k",
        MARKER: b"",
    }
    assert dock.store.stat(f"{dock.target.store_root}/{CACHE}/empty/")


def test_a_file_lies_below_its_hash(dock: Dock, tmp_path: Path) -> None:
    write(tmp_path, {"hello.txt": b"hello\n"})
    (reference,) = dock.ship(Data(tmp_path / "hello.txt", fuse=True))
    found = "default/data-cache/565d06b849b37d8a24aae0d602e9b6d12ea51d00864b40ebd026752c90673939"
    assert (reference.uri, reference.is_dir, reference.fuse) == (f"{dock.target.store_root}/{found}", False, True)
    assert dock.objects()[f"{found}/hello.txt"] == b"hello\n"


def test_a_folder_with_nothing_in_it(dock: Dock, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (first,) = dock.ship(Data(tmp_path / "bare"))
    assert dock.store.stat(f"{first.uri}/")
    assert dock.ship(Data(tmp_path / "bare")) == [first]
    assert "is in the store already" in dock.said[-1]


def test_the_same_content_under_another_name_is_a_hit(cloud: Dock, gcs: GcsServer, folder: Path) -> None:
    (first,) = cloud.ship(Data(folder))
    folder.rename(folder.parent / "other")
    inserted = gcs.requests["insert"]
    assert cloud.ship(Data(folder.parent / "other")) == [first]
    assert gcs.requests["insert"] == inserted
    assert cloud.said[-1].startswith(f"argument 0: {folder.parent / 'other'} (4 files, 258 B) is in the store already")


def test_a_hit_of_several_data_costs_one_round_trip(cloud: Dock, gcs: GcsServer, folder: Path, tmp_path: Path) -> None:
    data = [Data(folder), Data(write(tmp_path / "one", {"x": b"x"}) / "x"), Data(folder, fuse=True)]
    cloud.ship(*data)
    gcs.faults.latency = 1.0
    gcs.faults.served.clear()
    cloud.ship(*data)
    assert {served.kind for served in gcs.faults.served} == {"stat"}
    assert len(gcs.faults.served) == 5  # marker and file of each, and the empty folder
    begins = [served.at for served in gcs.faults.served]
    assert max(begins) - min(begins) < gcs.faults.latency


def test_equal_data_is_sent_once(cloud: Dock, gcs: GcsServer, folder: Path) -> None:
    cloud.ship(Data(folder), Data(folder, fuse=True))
    assert gcs.requests["insert"] == 4 + 2


@pytest.mark.parametrize("gone", ["a.txt", "b.txt", "a/inner/k"])
def test_an_interrupted_upload_resumes_at_the_missing_objects(
    cloud: Dock, gcs: GcsServer, folder: Path, gone: str
) -> None:
    cloud.ship(Data(folder))
    bucket, inserted = gcs.buckets["tests"], gcs.requests["insert"]
    for name in (MARKER, f"{CACHE}/{gone}"):
        bucket.delete(name, {})
    cloud.ship(Data(folder))
    assert gcs.requests["insert"] == inserted + 2
    assert {f"{CACHE}/{gone}", MARKER} <= set(bucket.names())
    assert "3 files were there before" in cloud.said[-1]


def test_other_bytes_under_a_name_are_replaced(cloud: Dock, folder: Path) -> None:
    """Left by an uploader that did not notice that its file had changed: same size, no marker."""
    uri = f"{cloud.target.store_root}/{CACHE}/b.txt"
    cloud.store.write(uri, b"X")
    cloud.ship(Data(folder))
    assert cloud.store.read(uri) == b"B"


def test_a_marker_without_data_is_not_believed(dock: Dock, folder: Path) -> None:
    dock.store.write(f"{dock.target.store_root}/{MARKER}", b"")
    dock.ship(Data(folder))
    assert dock.objects()[f"{CACHE}/b.txt"] == b"B"


def test_no_marker_stands_while_missing_files_are_sent(dock: Dock, folder: Path) -> None:
    """Another task that looks meanwhile, ours or upstream's, must not take the data for complete."""
    dock.ship(Data(folder))
    store, marker = dock.store, f"{dock.target.store_root}/{MARKER}"
    store.delete(f"{dock.target.store_root}/{CACHE}/a.txt")
    seen: list[object] = []
    dock.store = cast(Store, Before(store, "upload_many", lambda: seen.append(store.stat(marker))))
    dock.ship(Data(folder))
    assert seen == [None]
    assert store.stat(marker)


def test_empty_folders_are_added_to_what_upstream_has_sent(cloud: Dock, gcs: GcsServer, folder: Path) -> None:
    cloud.ship(Data(folder))
    gcs.buckets["tests"].delete(f"{CACHE}/empty/", {})
    inserted = gcs.requests["insert"]
    cloud.ship(Data(folder))
    assert f"{CACHE}/empty/" in gcs.buckets["tests"].names()
    assert gcs.requests["insert"] == inserted + 2  # and the marker


@pytest.mark.parametrize("count", [2, 40])
def test_empty_folders_that_came_after_an_upload_are_added(dock: Dock, folder: Path, count: int) -> None:
    """They are no part of the hash, so what another has sent may lack any of them."""
    (first,) = dock.ship(Data(folder))
    for number in range(count):
        (folder / f"later-{number}").mkdir()
    assert dock.ship(Data(folder)) == [first]
    assert all(dock.store.stat(f"{first.uri}/later-{number}/") for number in range(count))


def test_many_data_are_looked_at_a_bounded_number_at_a_time(here: Dock, tmp_path: Path) -> None:
    files = write(tmp_path, {f"{number}": b"%d" % number for number in range(150)})
    counts: list[int] = []

    def look() -> None:
        counts.append(threading.active_count())
        time.sleep(0.02)

    before = threading.active_count()
    here.store = cast(Store, Before(here.store, "stat", look))
    here.ship(*(Data(files / f"{number}") for number in range(150)))
    assert len(counts) == 300
    assert max(counts) - before <= 3 * AT_ONCE


def test_two_uploaders_leave_each_other_alone(cloud: Dock, gcs: GcsServer, folder: Path) -> None:
    for number in range(40):
        write(folder, {f"more/{number}": b"%d" % number})
    gcs.faults.latency = 0.01
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: cloud.ship(Data(folder)), range(2))
    assert first == second
    generations = {name: gcs.buckets["tests"].get(name, {}).generation for name in gcs.buckets["tests"].names()}
    assert len(generations) == 44 + 2
    cloud.ship(Data(folder))
    assert generations == {name: gcs.buckets["tests"].get(name, {}).generation for name in generations}


class TestAge:
    DAY = 86400.0

    def test_what_is_old_is_made_anew(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        cloud.ship(Data(folder))
        gcs.buckets["tests"].grow_old(11 * self.DAY)
        inserted, before = gcs.requests["insert"], cloud.objects()
        cloud.ship(Data(folder))
        assert cloud.objects() == before
        assert min(self.ages(gcs)) >= 0
        assert max(self.ages(gcs)) < self.DAY
        assert gcs.requests["rewrite"] == 5
        assert gcs.requests["insert"] == inserted + 1  # the marker
        assert "5 objects are made anew" in cloud.said[-1]

    def test_what_is_young_is_left_alone(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        cloud.ship(Data(folder))
        gcs.buckets["tests"].grow_old(9 * self.DAY)
        cloud.ship(Data(folder))
        assert gcs.requests["rewrite"] == 0

    def test_what_the_bucket_has_removed_is_sent_again(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        cloud.ship(Data(folder))
        gcs.buckets["tests"].grow_old(11 * self.DAY)
        gcs.buckets["tests"].delete(f"{CACHE}/a/z.bin", {})
        cloud.ship(Data(folder))
        assert cloud.objects()[f"{CACHE}/a/z.bin"] == bytes(range(256))
        assert max(self.ages(gcs)) < self.DAY

    def test_an_old_interrupted_upload_is_made_anew_too(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        cloud.ship(Data(folder))
        gcs.buckets["tests"].delete(MARKER, {})
        gcs.buckets["tests"].grow_old(29 * self.DAY)
        cloud.ship(Data(folder))
        assert max(self.ages(gcs)) < self.DAY

    @staticmethod
    def ages(gcs: GcsServer) -> list[float]:
        bucket = gcs.buckets["tests"]
        return [time.time() - bucket.get(name, {}).updated for name in bucket.names()]


class TestRefused:
    def test_a_path_that_is_not_there_names_the_worker(self, dock: Dock, tmp_path: Path, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"on the worker {socket.gethostname()}"):
            dock.ship(Data(folder), Data(tmp_path / "absent"))
        assert dock.objects() == {}

    def test_names_with_a_newline_in_a_bucket(self, cloud: Dock, folder: Path, tmp_path: Path) -> None:
        write(tmp_path / "bad", {"a\nb": b"1"})
        with pytest.raises(ConfigurationError, match="cannot hold an object of this name"):
            cloud.ship(Data(folder), Data(tmp_path / "bad"))
        assert cloud.objects() == {}

    def test_names_with_a_newline_on_this_machine(self, here: Dock, tmp_path: Path) -> None:
        write(tmp_path / "good", {"a\nb": b"1", "\N{BEER MUG}": b"2"})
        here.ship(Data(tmp_path / "good"))
        assert sorted(here.objects().values()) == [b"", b"1", b"2"]

    def test_sockets_and_broken_links(self, dock: Dock, folder: Path) -> None:
        (folder / "broken").symlink_to("absent")
        os.mkfifo(folder / "pipe")
        with pytest.raises(ConfigurationError, match="holds what cannot be sent: 'broken' is a broken link"):
            dock.ship(Data(folder))
        assert dock.objects() == {}

    def test_links_to_folders_are_said(self, dock: Dock, folder: Path) -> None:
        (folder / "up").symlink_to(folder)
        dock.ship(Data(folder))
        assert f"argument 0: links to folders are not followed: 'up' below {folder}." in dock.said

    def test_a_file_that_changes_between_hash_and_upload(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        changed = Before(cloud.store, "upload_many", lambda: (folder / "a" / "z.bin").write_bytes(b"other"))
        cloud.store = cast(Store, changed)
        with pytest.raises(InfrastructureError, match=r"z\.bin' changed while it was read"):
            cloud.ship(Data(folder))
        assert {MARKER, f"{CACHE}/a/z.bin"}.isdisjoint(gcs.buckets["tests"].names())

    def test_a_bucket_without_permission(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        gcs.faults.denied.add("storage.objects.create")
        with pytest.raises(StoreError, match=r"storage\.objects\.create is missing") as caught:
            cloud.ship(Data(folder))
        assert "roles/storage.objectUser" in caught.value.advice

    def test_a_bucket_that_is_not_there(self, cloud: Dock, gcs: GcsServer, folder: Path) -> None:
        del gcs.buckets["tests"]
        with pytest.raises(StoreError, match="there is no bucket 'tests'"):
            cloud.ship(Data(folder))
