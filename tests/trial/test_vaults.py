"""What checkpoints need of a store, the same of files and of Cloud Storage."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, ON_THIS_MACHINE, noise

from airflow_provider_kinetic.job import digests
from airflow_provider_kinetic.job.gcs_http import GcsError
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.storage import Entry, ObjectMissing, uri_to_path
from airflow_provider_kinetic.job.vaults import Hashed, below

MIB = 1 << 20


@pytest.fixture(params=[0, 1, 3 * MIB, 20 * MIB], ids=str)
def file(request, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(request.param))
    return path


def test_a_file_is_sent_with_its_digest(place, file):
    uri = below(place.uri, "a/ü #?%.bin")
    sent = place.vault.send(file, uri)
    assert sent.digest == digests.of_bytes(file.read_bytes())
    assert place.vault.read(uri) == file.read_bytes()


def test_a_copy_is_of_the_version_that_was_meant(place, file):
    source, target = below(place.uri, "a"), below(place.uri, "b/c")
    version = place.vault.send(file, source).version
    assert place.vault.copy(source, target, version)
    assert place.vault.read(target) == file.read_bytes()
    place.vault.write(source, b"another")
    assert place.vault.copy(source, target, version) is None
    place.vault.delete(source)
    assert place.vault.copy(source, target, version) is None
    assert place.vault.read(target) == file.read_bytes()


def test_a_copy_can_be_copied(place, file):
    first, second, third = (below(place.uri, name) for name in "abc")
    version = place.vault.copy(first, second, place.vault.send(file, first).version)
    assert version is not None
    place.vault.delete(first)
    assert place.vault.copy(second, third, version)


def test_deleting_is_safe_to_repeat(place):
    uri = below(place.uri, "a")
    place.vault.write(uri, b"1")
    place.vault.delete(uri)
    place.vault.delete(uri)
    with pytest.raises(ObjectMissing):
        place.vault.read(uri)


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_beside_it(place):
    for name in ("a/b", "a/c/d", "ab"):
        place.vault.write(below(place.uri, name), b"1")
    place.vault.delete_tree(f"{place.uri}/a")
    place.vault.delete_tree(f"{place.uri}/a")
    assert place.names() == ["ab"]


def test_folders_are_those_that_hold_something(place):
    assert place.vault.folders(place.uri) == []
    for name in ("a/b", "a/c/d", "e/f", "g"):
        place.vault.write(below(place.uri, name), b"1")
    assert place.vault.folders(place.uri) == ["a", "e"]


def test_what_begins_with_a_digit_is_listed_alone(place):
    assert list(place.vault.tree(place.uri, numbered=True)) in ([], [Entry(f"{place.uri}/", "")])
    for name in ("-1/a", "0/a", "00/x", "1", "10/a b/c", "9a/d", ":/a", "a/1", ".kinetic/1"):
        place.vault.write(below(place.uri, name), b"1")
    found = [entry for entry in place.vault.tree(place.uri, numbered=True) if not entry.is_folder]
    assert sorted(entry.name for entry in found) == ["0/a", "00/x", "1", "10/a b/c", "9a/d"]
    assert {entry.uri for entry in found} == {below(place.uri, entry.name) for entry in found}


def test_renewed_objects_are_the_same(place):
    uri = below(place.uri, "a")
    place.vault.write(uri, b"1")
    place.vault.renew(uri)
    assert place.vault.read(uri) == b"1"


def test_many_folders_come_in_pages(place, gcs):
    gcs.page_limit = 3
    for number in range(8):
        place.vault.write(below(place.uri, f"{number}/a"), b"1")
    assert place.vault.folders(place.uri) == list("01234567")


@IN_CLOUD_STORAGE
def test_a_broken_upload_has_the_digest_of_the_whole_file(place, gcs, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(20 * MIB))
    gcs.cut("chunk", 5 * MIB)
    gcs.cut("chunk", 9 * MIB)
    gcs.fail("chunk", status=410)  # and then all once more
    sent = place.vault.send(path, below(place.uri, "a"))
    assert sent.digest == digests.of_bytes(path.read_bytes())
    assert place.vault.read(below(place.uri, "a")) == path.read_bytes()


def test_what_was_sent_does_not_change_with_its_source(place, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1")
    place.vault.send(path, below(place.uri, "a"))
    path.unlink()
    path.write_bytes(b"2")
    assert place.vault.read(below(place.uri, "a")) == b"1"


@ON_THIS_MACHINE
def test_what_was_never_finished_goes_with_its_folder(place):
    folder = uri_to_path(f"{place.uri}/checkpoints/x")
    folder.mkdir(parents=True)
    (folder / ".kinetic-tmp-1").touch()
    assert place.vault.folders(f"{place.uri}/checkpoints") == ["x"]
    place.vault.delete_tree(f"{place.uri}/checkpoints/x")
    assert not folder.exists()


def fetched(place, uri, start, count):
    came = bytearray()
    return place.vault.fetch(uri, start, count, came.extend), bytes(came)


@pytest.mark.parametrize(("start", "count"), [(0, 0), (0, 5), (1, 2 * MIB), (3 * MIB - 1, 1), (2 * MIB, MIB)])
def test_a_part_is_fetched_with_the_size_of_the_whole(place, start, count):
    content, uri = noise("part", 3 * MIB), below(place.uri, "a #?%")
    place.vault.write(uri, content)
    assert fetched(place, uri, start, count) == (len(content), content[start : start + count])


def test_nothing_is_fetched_of_an_empty_object_and_little_of_a_short_one(place):
    uri = below(place.uri, "a")
    place.vault.write(uri, b"")
    assert fetched(place, uri, 0, 0) == (0, b"")
    place.vault.write(uri, b"123")
    assert fetched(place, uri, 1, 5)[1] == b"23"
    assert fetched(place, uri, 7, 5)[1] == b""


@pytest.mark.parametrize("count", [0, 1])
def test_a_part_of_what_is_not_there_is_missing(place, count):
    with pytest.raises(ObjectMissing):
        fetched(place, below(place.uri, "a"), 0, count)


def test_trouble_of_who_takes_a_part_is_not_taken_for_the_networks(place, gcs):
    place.vault.write(below(place.uri, "a"), b"1")

    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        place.vault.fetch(below(place.uri, "a"), 0, 1, full)
    assert gcs.requests["download"] <= 1


@IN_CLOUD_STORAGE
def test_a_part_goes_on_where_the_connection_broke(place, gcs):
    content, uri = noise("part", 3 * MIB), below(place.uri, "a")
    place.vault.write(uri, content)
    gcs.cut("download", 300_000, times=7)
    assert fetched(place, uri, 5, 3 * MIB - 5) == (len(content), content[5:])
    gcs.cut("download", 0, times=5)
    with pytest.raises(OSError, match="broke off 5 times after 5 bytes"):
        fetched(place, uri, 5, 10)


@IN_CLOUD_STORAGE
def test_records_are_not_kept_by_caches_and_files_may_be(place, gcs, saved):
    trial = place.begin()
    trial.log({"loss": 1}, step=1)
    saved(trial, 1)
    trial.close()
    bucket = gcs.buckets["tests"]
    control = {name for name in bucket.names() if bucket.get(name, {}).attributes.get("cacheControl") == "no-store"}
    data = {f"out put/checkpoints/{trial.latest.name}/{name}" for name in ("state", "metadata.json")}
    assert control == set(bucket.names()) - data


@IN_CLOUD_STORAGE
def test_a_file_is_not_held_in_memory(place, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(noise("sent", 8 * MIB))
    tracemalloc.start()
    place.vault.send(path, below(place.uri, "a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MIB  # of client and server together


def test_a_file_that_shrinks_on_its_way_is_an_error_at_once(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12")
    hashed = Hashed(path, 3)
    with hashed.open() as stream:
        assert stream.read(2) == b"12"
        with pytest.raises(ValueError, match="shorter"):
            stream.read(1)


class Circle:
    """A service whose next page is always the same."""

    status = 200
    data = b'{"items": [], "nextPageToken": "again"}'

    def request(self, *_, **__):
        return self


@pytest.mark.parametrize("look", [lambda vault: vault.list("gs://b/a/"), lambda vault: vault.folders("gs://b/a")])
def test_pages_that_never_end_are_an_error(look):
    with pytest.raises(GcsError, match="the same pageToken twice"):
        look(GcsVault(Circle()))
