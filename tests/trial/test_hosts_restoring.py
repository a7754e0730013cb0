"""Checkpoints of several processes come back: once for each machine, and of all processes the same one."""

from __future__ import annotations

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read
from crew_of_threads import at_once, everything, meet, restored, save, soon

from airflow_provider_kinetic.model.errors import CheckpointCorrupt

__all__ = ["at_once", "meet", "restored", "save", "soon"]


@IN_CLOUD_STORAGE
def test_one_machine_downloads_once(gcs, meet, save, restored, scratch):
    save(meet(), 1)
    trials = meet()
    before = gcs.requests["download"]
    assert restored(trials) == [(1, everything(1))] * 4
    data = len(everything(1)) + 1
    control = 4 * 4  # each reads two start records, the commit record and the manifest
    assert gcs.requests["download"] - before <= data + control
    assert list(scratch.iterdir()) == []


@pytest.mark.faults
@IN_CLOUD_STORAGE
def test_one_machine_downloads_each_selected_file_once(gcs, meet, save, at_once):
    save(meet(), 1)
    trials = meet()
    before = gcs.requests["download"]

    def own(trial):
        with trial.restore(select=lambda path: path.endswith(str(trial.process)) or path == "frozen") as found:
            return read(found.path)

    found = at_once(own, trials)
    for process, files in enumerate(found):
        assert files == {
            name: data for name, data in everything(1).items() if name[-1] == str(process) or name == "frozen"
        }
    assert gcs.requests["download"] - before <= len(set().union(*found)) + 4 * 4


@pytest.mark.faults
def test_what_only_some_restore_is_removed_at_the_end(meet, save, restored, scratch):
    save(meet(), 1)
    trials = meet()
    assert restored(trials[:2]) == [(1, everything(1))] * 2
    assert len(list(scratch.iterdir())) == 1
    for trial in reversed(trials):
        trial.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.faults
def test_a_half_fetched_file_of_a_process_that_died_is_fetched_again(meet, save, restored, scratch):
    save(meet(), 1)
    trials = meet()
    first = restored(trials[:1])
    (shared,) = scratch.iterdir()
    (shared / "files" / "frozen").unlink()
    (shared / "files" / "frozen").write_bytes(b"half")
    (shared / "fetched.json").write_text('["same')
    assert restored(trials[1:]) == first * 3


@pytest.mark.faults
def test_all_fall_back_together_when_a_file_of_one_is_gone(place, meet, save):
    trials = meet()
    save(trials, 1)
    save(trials, 2)
    place.vault.delete(f"{trials[0].latest.uri}/shard-2")

    def own(trial):
        own = trial.restore(select=lambda path: path[-1] == str(trial.process))
        with pytest.warns(UserWarning, match="shard-2 is gone"), own as found:
            return found.step

    trials = meet()
    assert [own(trial) for trial in trials] == [1] * 4


@pytest.mark.faults
def test_nobody_begins_afresh_when_nothing_is_whole(place, meet, save):
    trials = meet()
    save(trials, 1)
    place.vault.delete(f"{trials[0].latest.uri}/shard-2")
    for trial in trials:
        with pytest.warns(UserWarning, match="shard-2 is gone"), pytest.raises(CheckpointCorrupt):
            trial.restore(select=str.isalpha).__enter__()
