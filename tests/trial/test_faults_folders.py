"""Output directories on file systems that lack what a trial rests on."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from airflow_provider_kinetic.job import exclusive
from airflow_provider_kinetic.job.exclusive import place as place_file
from airflow_provider_kinetic.job.storage import FileStorage, ObjectExists, path_to_uri
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial


@pytest.fixture(params=[errno.EPERM, errno.ENOSYS, errno.ENOTSUP], ids=errno.errorcode.get, autouse=True)
def no_links(request, monkeypatch):
    """As FAT, FUSE and some network file systems are."""

    def link(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", link)


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """What Linux says of the file system of this folder."""

    def say(kind):
        device = tmp_path.stat().st_dev
        file = tmp_path / "mountinfo"
        file.write_text(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
            f"40 27 {os.major(device)}:{os.minor(device)} / {tmp_path} rw shared:2 - {kind} a-bucket rw,user_id=0\n"
        )
        monkeypatch.setattr(exclusive, "MOUNTS", file)

    return say


def test_without_hard_links_the_first_one_still_wins(tmp_path):
    uri, storage, won = path_to_uri(tmp_path / "out/record"), FileStorage(), []

    def write(number):
        try:
            storage.write(uri, b"%d" % number * 10_000, if_absent=True)
            won.append(number)
        except ObjectExists:
            pass

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(won) == 1
    assert storage.read(uri) == b"%d" % won[0] * 10_000
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["record"]


@pytest.mark.parametrize("kind", ["fuse.gcsfuse", "fuse"])
def test_a_mounted_bucket_is_refused_with_advice(tmp_path, mounts, kind):
    """The driver of GKE mounts as plain ``fuse``."""
    mounts(kind)
    (tmp_path / "new").touch()
    with pytest.raises(OSError, match=rf"\({kind}\) cannot make a file.*pass the gs:// URI") as refused:
        place_file(tmp_path / "new", tmp_path / "record")
    assert refused.value.errno == errno.ENOTSUP
    assert not (tmp_path / "record").exists()


def test_where_the_kind_is_not_known_it_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(exclusive, "MOUNTS", tmp_path / "no such file")
    (tmp_path / "new").touch()
    place_file(tmp_path / "new", tmp_path / "record")
    assert (tmp_path / "record").exists()


def test_a_trial_on_one_says_so_at_its_start(tmp_path, mounts):
    mounts("fuse.gcsfuse")
    with pytest.raises(OSError, match="output_dir"):
        Trial(path_to_uri(tmp_path / "out"), Keep())
