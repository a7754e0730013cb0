"""Checkpoints of several processes: threads here, each with a trial of its own and nothing but the store between."""

from __future__ import annotations

import json
import re
import threading

import pytest
from checkpoint_files import IN_CLOUD_STORAGE, read, write
from crew_of_threads import at_once, everything, meet, restored, save, shard, soon

from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.model.errors import Preempted, Superseded

__all__ = ["at_once", "meet", "restored", "save", "soon"]


def test_all_processes_make_one_checkpoint_and_the_next_attempt_goes_on(place, meet, save, restored):
    for attempt in (1, 2):
        trials = meet()
        assert [trial.attempt for trial in trials] == [attempt] * 4
        assert restored(trials) == [(attempt - 1, everything(attempt - 1)) if attempt > 1 else None] * 4
        assert save(trials, attempt, loss=0.5) == [None] * 4
        for trial in trials:
            assert [(each.step, each.metadata) for each in trial.checkpoints][-1] == (attempt, {"loss": 0.5})
            assert trial.latest.files == len(everything(1)) + 1
    about = json.loads(place.vault.read(f"{trials[0].latest.uri}/metadata.json"))
    assert about == {"steps_completed": 2, "loss": 0.5}


@pytest.mark.faults
def test_the_number_of_processes_may_change(meet, save, restored):
    save(meet(), 1)
    (alone,) = meet(processes=1)
    assert restored([alone]) == [(1, everything(1))]
    save([alone], 2)
    assert restored(meet(processes=2)) == [(2, shard(0, 2))] * 2


@pytest.mark.faults
def test_in_the_background_too(meet, save, at_once):
    trials = meet()
    for step in (1, 2, 3):
        assert save(trials, step, wait=False) == [None] * 4
    assert at_once(lambda trial: trial.wait(), trials) == [None] * 4
    assert [each.step for each in trials[2].checkpoints] == [1, 2, 3]


def test_different_files_of_one_path_are_an_error_everywhere_and_no_checkpoint(place, meet, save):
    trials = meet()
    errors = save(trials, 1, files=lambda process, _: {"state": b"odd" if process == 2 else b"even"})
    assert type(errors[0]) is ValueError
    assert re.match(r"'state' of process [01] is not that of process 2: nothing is saved", str(errors[0]))
    assert [type(error) for error in errors[1:]] == [RuntimeError] * 3
    assert all("gave up the checkpoint of step 1" in str(error) for error in errors[1:])
    assert trials[0].latest is None
    assert save(trials, 2) == [None] * 4
    trials[0].wait()
    trials[0]._saver._background.submit(int).result()
    assert place.vault.folders(f"{place.uri}/checkpoints") == [trials[0].latest.name]
    assert place.names(".kinetic/parts/") == []


@pytest.mark.faults
def test_a_process_whose_body_raises_tells_the_others(meet, save):
    trials = meet()

    def files(process, step):
        if process in (0, 3):
            raise KeyError("mine")
        return shard(process, step)

    errors = save(trials, 1, files=files)
    assert [type(error) for error in errors] == [KeyError, RuntimeError, RuntimeError, KeyError]
    assert "gave up the checkpoint of step 1: KeyError: 'mine'" in str(errors[1])
    assert save(trials, 2) == [None] * 4
    errors = save(trials, 3, files=lambda process, step: files(process or 1, step))
    assert [type(error) for error in errors] == [RuntimeError] * 3 + [KeyError]
    assert str(errors[0]).startswith("process 3 could not save its part: KeyError")
    assert [each.step for each in trials[1].checkpoints] == [2]


@pytest.mark.faults
def test_a_host_that_does_not_come_is_named_and_nothing_is_saved(place, meet, save, restored, monkeypatch):
    trials = meet()
    save(trials, 1)
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "0.3")
    errors = save(trials[:3], 2)
    assert type(errors[0]) is TimeoutError
    assert "Nothing is saved of step 2: process 3 of 4 handed in no part within 0.3 seconds" in str(errors[0])
    assert all(type(error) in (RuntimeError, TimeoutError) for error in errors[1:])
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "10")
    later = meet()
    later[0]._saver._background.submit(int).result()
    assert place.vault.folders(f"{place.uri}/checkpoints") == [later[0].latest.name]
    assert place.names(".kinetic/parts/") == []
    assert restored(later) == [(1, everything(1))] * 4


@pytest.mark.faults
def test_who_saves_another_step_is_named_at_once_and_nothing_is_saved(meet, save, at_once):
    trials = meet()

    def one(trial):
        with trial.save(20 if trial.process in (1, 2) else 10) as folder:
            write(folder, shard(trial.process, 1))

    errors = at_once(one, trials)
    assert str(errors[0]).startswith("process 1 saves step 20 while process 0 saves step 10: nothing is saved.")
    assert [type(error) for error in errors] == [ValueError] + [RuntimeError] * 3
    assert str(errors[2]).startswith("Process 0 gave up the checkpoint of step 20: ValueError: process 1")
    assert trials[0].latest is None
    assert save(trials, 30) == [None] * 4


@pytest.mark.faults
def test_nobody_waits_for_ever_for_a_leader_that_lives_and_does_not_save(meet, at_once, monkeypatch):
    trials = meet(processes=2)
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "0.5")
    over = threading.Event()

    def one(trial):
        if trial.process:
            try:
                with trial.save(1):
                    pass
            finally:
                over.set()
        for _ in range(60):
            trial._heartbeat.beat()
            if over.wait(0.1):
                break
        return over.is_set()

    alive, error = at_once(one, trials)
    assert alive
    assert type(error) is TimeoutError
    assert "Process 0 gave no sign of life for 0.5 seconds of saving step 1" in str(error)


@pytest.mark.faults
def test_a_part_of_an_earlier_attempt_does_not_count(meet, save):
    old = meet()
    new = meet()
    assert [type(error) for error in save(old, 1)] == [Superseded] * 4
    assert new[0].latest is None
    assert save(new, 1) == [None] * 4
    assert [Name.parse(each.name).attempt for each in new[3].checkpoints] == [2]


@pytest.mark.faults
def test_a_part_of_an_earlier_life_of_the_same_attempt_does_not_count(place, meet, save, at_once, monkeypatch):
    """As when a launcher in a job starts its processes again."""
    monkeypatch.setenv("KINETIC_OUTPUT_DIR", place.uri)
    monkeypatch.setenv("KINETIC_ATTEMPT", "7")
    former = meet()
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "0.3")
    save(former[1:], 1, files=lambda *_: {"state": b"old"})
    monkeypatch.setenv("KINETIC_HOSTS_TIMEOUT", "10")
    trials = meet()
    assert {trial.attempt for trial in trials} == {7}
    late = threading.Event()

    def one(trial):
        if trial.process == 3:
            late.wait(1)
        with trial.save(1) as folder:
            write(folder, shard(trial.process, 1))

    assert at_once(one, trials) == [None] * 4
    with trials[0].restore() as found:
        assert read(found.path) == everything(1)


@pytest.mark.faults
def test_a_later_life_of_the_same_attempt_goes_on(place, meet, save, restored, monkeypatch):
    monkeypatch.setenv("KINETIC_OUTPUT_DIR", place.uri)
    monkeypatch.setenv("KINETIC_ATTEMPT", "7")
    keep = Keep(latest=2)
    for life in (1, 2):
        trials = meet(keep=keep)
        assert restored(trials) == [(2, everything(2)) if life == 2 else None] * 4
        assert save(trials, 2 * life - 1) == save(trials, 2 * life) == [None] * 4
    trials[0]._saver._background.submit(int).result()
    assert [each.step for each in trials[1].checkpoints] == [3, 4]
    assert restored(trials) == [(4, everything(4))] * 4


@pytest.mark.faults
def test_a_slow_host_finds_its_checkpoint_deleted(place, meet, at_once):
    """Its part is there, and before it looks again the checkpoint is complete and gone."""
    trials = meet()
    deleted = threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(place.vault, name)

        def entry(self, uri):
            assert deleted.wait(20)
            return place.vault.entry(uri)

    trials[3]._saver._vault = Slow()

    def one(trial):
        with trial.save(1) as folder:
            write(folder, shard(trial.process, 1))
        if trial.process == 0:
            trial.latest.delete()
            trial._saver._background.submit(int).result()  # what is cleared behind a commit is
            deleted.set()

    assert at_once(one, trials) == [None] * 4
    assert place.names(".kinetic/checkpoints/") == []


@pytest.mark.faults
def test_rows_of_other_processes_are_kept_beside_the_series(place, meet, save):
    trials = meet()
    for trial in trials:
        trial.log({"loss": trial.process}, step=1)
    save(trials, 1)
    assert [row.values for row in read_rows(place.vault, place.layout)] == [{"loss": 0}]
    for process in range(4):
        (segment,) = place.names(f".kinetic/metrics/a0001-p{process}/")
        assert f'"m":{{"loss":{process}}}'.encode() in place.vault.read(f"{place.uri}/{segment}")


@pytest.mark.faults
def test_only_the_leader_ends_the_attempt(place, meet, at_once):
    trials = meet()
    assert at_once(lambda trial: trial.close(), trials[1:]) == [None] * 3
    assert "0001.end.json" not in str(place.names(".kinetic/attempts/"))
    trials[0].close()
    assert json.loads(place.vault.read(place.layout.attempt_end(1)))["state"] == "COMPLETED"


@pytest.mark.faults
@IN_CLOUD_STORAGE
def test_listings_that_are_late_only_take_longer(gcs, meet, save, restored):
    gcs.buckets["tests"].lag = 0.5
    save(meet(), 1)
    trials = meet()
    assert save(trials, 2) == [None] * 4
    assert save(trials, 3) == [None] * 4
    gcs.buckets["tests"].lag = 0
    assert restored(meet()) == [(3, everything(3))] * 4


@pytest.mark.faults
def test_a_collective_of_the_user_decides_who_leaves(meet, at_once):
    """And the save before does not: whoever hears a stop alone stays with the others."""
    trials, barrier, heard = meet(), threading.Barrier(4), [False] * 4

    def loop(trial):
        def agree(mine):
            heard[trial.process] = mine or (trial.process == 2 and step == 3)
            barrier.wait(10)
            answer = any(heard)
            barrier.wait(10)
            return answer

        for step in range(1, 9):
            if trial.stopping(step, agree=agree):
                break
            trial.exit_if_stopping()
        with pytest.raises(Preempted):
            trial.exit_if_stopping()
        return step, trial.stop_reason

    assert at_once(loop, trials) == [(3, "preempted")] * 4
