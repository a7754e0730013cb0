"""TensorBoard reads what a trial has logged."""

from __future__ import annotations

import math
import struct
import time

import pytest
from event_files import read_events
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic import job
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.series import Row
from airflow_provider_kinetic.job.training.tensorboard import FILE, crc32c, events, write_events
from airflow_provider_kinetic.job.vaults import FileVault, below

NUMBERS = st.one_of(st.floats(), st.booleans(), st.integers(-(10**40), 10**40), st.just(-(10**400)))


def single(number):
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


def test_the_checksum_is_castagnolis():
    """RFC 3720, B.4."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"") == 0


@given(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.dictionaries(st.text(), st.floats(), min_size=1)
)
def test_rows_are_read_as_they_were_written(step, at, values):
    stated = {name.encode("utf-8", "replace").decode(): single(value) for name, value in values.items()}
    if len(stated) < len(values):
        return
    ((record, count),) = events([Row(at, step, "train", values)])
    (found,) = read_events(record)
    assert (found.time, found.step, found.version, count) == (at, step, "", len(values))
    assert repr(found.values) == repr(stated)


def test_texts_have_no_curve():
    rows = [Row(1.0, 1, "a", {"note": "x"}), Row(1.0, 2, "a", {"note": "x", "ok": True, "odd": "NaN", "big": 10**400})]
    ((record, count),) = events(rows)
    (found,) = read_events(record)
    assert (found.step, count, sorted(found.values)) == (2, 3, ["big", "odd", "ok"])
    assert found.values["big"] == math.inf
    assert math.isnan(found.values["odd"])


def test_a_trial_is_exported_by_groups(place, saved, tmp_path):
    for attempt in range(2):
        trial = place.begin()
        for step in range(3 * attempt + 1, 3 * attempt + 5):  # the last one is repeated by the next attempt
            trial.log({"loss": step / 2, "attempt": attempt}, step=step)
            if step % 3 == 0:
                saved(trial, step)
        trial.log({"loss": 0.1}, step=3 * attempt + 3, group="validation ü..x")
        trial.close()
    counts = job.export_tensorboard(tmp_path / "boards", place.uri)
    assert counts == {"train": 14, "validation ü..x": 2}
    files = sorted(path.relative_to(tmp_path / "boards").as_posix() for path in tmp_path.glob("boards/**/*.kinetic"))
    assert files == [f"train/{FILE}", f"validation %C3%BC..x/{FILE}"]
    first, *found = read_events((tmp_path / "boards/train" / FILE).read_bytes())
    assert (first.version, first.values) == ("brain.Event:2", {})
    assert [(event.step, event.values) for event in found] == [
        (step, {"loss": step / 2, "attempt": float(step > 3)}) for step in range(1, 8)
    ]
    assert all(abs(event.time - time.time()) < 60 for event in found)


def test_a_second_export_takes_the_place_of_the_first(place):
    trial = place.begin()
    for step in (1, 2):
        trial.log({"loss": step}, step=step)
        trial._metrics.flush()
        job.export_tensorboard(below(place.uri, "boards"), place.uri)
    assert place.names("boards/") == [f"boards/train/{FILE}"]
    assert len(read_events(place.vault.read(below(place.uri, f"boards/train/{FILE}")))) == 3


@pytest.mark.parametrize("group", ["..", ".", "", "...", "/", "a/b", "\ud800"])
def test_every_group_has_a_folder_of_its_own(tmp_path, group):
    write_events(FileVault(), path_to_uri(tmp_path / "boards"), [Row(1.0, 1, group, {"a": 1})])
    (file,) = tmp_path.rglob("events*")
    assert file.parent.parent == tmp_path / "boards"


def test_a_trial_without_rows_has_no_files(place, tmp_path):
    place.begin()
    assert job.export_tensorboard(tmp_path / "boards", place.uri) == {}
    assert not (tmp_path / "boards").exists()
