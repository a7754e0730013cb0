"""What scripts call, and what they are told where there is nothing to call."""

from __future__ import annotations

import json
import os
import signal
import warnings
from pathlib import Path

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, Preempted


@pytest.fixture
def begun(core_v2):
    core_v2.init(config=core_v2.Config(external_experiment_id="e", external_trial_id="t", data={"url": "d"}))
    return core_v2


def rows(core_v2):
    trial = core_v2._context._trial
    core_v2.close()
    return [(row.group, row.step, row.values) for row in read_rows(trial._vault, TrialLayout(trial.dir))]


def store(core_v2, steps, text="state", metadata=None):
    with core_v2.checkpoint.store_path({"steps_completed": steps, **(metadata or {})}) as (path, name):
        (path / "state").write_text(text)
    return name


def test_a_checkpoint_comes_back(begun, tmp_path):
    expected = {"steps_completed": 5, "step": "metadata may have any key", "wait": 1, "epoch": 2}
    name = store(begun, 5, "five", expected)
    assert begun.checkpoint.get_metadata(name) == expected
    with begun.checkpoint.restore_path(name) as path:
        assert (path / "state").read_text() == "five"
        assert json.loads((path / "metadata.json").read_text()) == expected
    assert not path.exists()
    begun.checkpoint.download(name, tmp_path / "copy", begun.DownloadMode.NoSharedDownload)
    assert (tmp_path / "copy" / "state").read_text() == "five"
    assert begun.info.latest_checkpoint is None
    begun.init(config=begun.Config(external_experiment_id="e", external_trial_id="t"))
    assert begun.info.latest_checkpoint == name
    begun.checkpoint.delete(name)
    with pytest.raises(FileNotFoundError, match=f"no checkpoint '{name}'; there is: none"):
        begun.checkpoint.get_metadata(name)


def test_one_of_another_trial_is_named_by_its_uri(begun):
    name = store(begun, 5, "five")
    uri = f"{begun._context._trial.dir}/checkpoints/{name}"
    begun.init(config=begun.Config(name="another"))
    with begun.checkpoint.restore_path(uri) as path:
        assert (path / "state").read_text() == "five"
    assert begun.checkpoint.get_metadata(uri) == {"steps_completed": 5}


def test_steps_are_compulsory_before_anything_is_stored(begun):
    entered = []
    with pytest.raises(ValueError, match="steps_completed"), begun.checkpoint.store_path({"epoch": 1}):
        entered.append(1)
    with pytest.raises(TypeError, match=r"'steps_completed' is a whole number, not 1\.5"):
        begun.checkpoint.upload(".", {"steps_completed": 1.5})
    assert entered == []
    assert begun._context._trial.checkpoints == []


def test_nothing_is_stored_when_the_body_raises(begun):
    def half():
        with begun.checkpoint.store_path({"steps_completed": 1}) as (path, _):
            (path / "state").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert begun._context._trial.checkpoints == []


def test_a_folder_is_uploaded_and_stays_as_it_is(begun, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"a")
    (source / "b.log").write_bytes(b"b")
    name = begun.checkpoint.upload(source, {"steps_completed": 1}, selector=lambda path: not path.endswith(".log"))
    (source / "deep" / "a.bin").write_bytes(b"later")
    with begun.checkpoint.restore_path(name, selector=lambda path: path.startswith("deep/")) as path:
        assert [each.relative_to(path).as_posix() for each in path.rglob("*.*")] == ["deep/a.bin"]
        assert (path / "deep" / "a.bin").read_bytes() == b"a"
    assert sorted(each.name for each in source.iterdir()) == ["b.log", "deep"]
    with pytest.raises(RuntimeError, match="nothing at all"):
        begun.checkpoint.upload(None, {"steps_completed": 2})


def test_damage_is_found(begun):
    name = store(begun, 1)
    Path("kinetic-output/e/t/checkpoints", name, "state").write_text("stale")
    with pytest.raises(CheckpointCorrupt), begun.checkpoint.restore_path(name):
        pass


def test_metrics(begun):
    begun.train.report_training_metrics(3, {"loss": 0.5, "deep": {"norm": 1, "name": "adam"}})
    begun.train.report_validation_metrics(steps_completed=3, metrics={"loss": float("nan")})
    begun.train.report_metrics("inference", 3, {"rate": True})
    begun.train.report_metrics("eval/hard", 3, {"a/b": 1})
    begun.train.report_metrics("training", 3, {"lr": 0.1})
    with pytest.raises(ValueError, match="dot"):
        begun.train.report_metrics("a.b", 1, {"x": 1})
    with pytest.raises(RuntimeError, match="'loss' is None"):
        begun.train.report_validation_metrics(4, {"loss": None})
    assert rows(begun) == [
        ("train", 3, {"loss": 0.5, "deep.norm": 1, "deep.name": "adam", "lr": 0.1}),
        ("validation", 3, {"loss": "NaN"}),
        ("inference", 3, {"rate": True}),
        ("eval.hard", 3, {"a/b": 1}),
    ]


def test_rows_beyond_the_steps_of_a_checkpoint_count_until_others_take_their_place(begun):
    for step in range(6):
        begun.train.report_training_metrics(step, {"loss": step})
    name = store(begun, 3)
    ids = {"external_experiment_id": "e", "external_trial_id": "t"}
    begun.init(config=begun.Config(**ids))
    assert begun.info.latest_checkpoint == name
    assert begun.checkpoint.get_metadata(name) == {"steps_completed": 3}
    begun.train.report_training_metrics(6, {"loss": 6})
    store(begun, 6)
    begun.init(config=begun.Config(**ids))
    begun.train.report_training_metrics(5, {"loss": 50})
    assert rows(begun) == [("train", step, {"loss": step if step < 5 else 50}) for step in range(6)]


def test_what_is_not_kept_of_metrics_is_said_once(begun):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(3):
            begun.train.report_training_metrics(step, {"loss": 1, "matrix": [[1]], "raw": b""}, batch_metrics=[{}])
    texts = "\n".join(str(each.message) for each in said)
    assert len(said) == 3
    assert all(f"{name} " in texts for name in ("`batch_metrics`", "'matrix'", "'raw'"))
    assert rows(begun) == [("train", step, {"loss": 1}) for step in range(3)]


def test_progress_status_and_metadata(begun, tmp_path):
    begun.train.report_progress(0.25)
    begun.train.set_status("warming up")
    assert begun.train.get_metadata() == {}
    assert begun.train.set_metadata({"a": {"b": 1}}) == {"a": {"b": 1}}
    with pytest.warns(UserWarning, match="raw progress"):
        begun.train.report_progress(100, is_raw=True)
    with pytest.raises(ValueError, match="0 to 1"):
        begun.train.report_progress(2)
    begun.close()
    beat = json.loads((tmp_path / "kinetic-output/e/t/.kinetic/heartbeat.json").read_text())
    assert (beat["progress"], beat["status"]) == (0.25, "warming up")
    begun.init(config=begun.Config(external_experiment_id="e", external_trial_id="t"))
    assert begun.train.get_metadata() == {"a": {"b": 1}}


def test_facts(begun):
    info = begun.info
    assert (info.trial.experiment_id, info.trial.trial_id) == ("e", "t")
    assert (info.task_type, info.user_data, info.trial.trial_seed) == ("TRIAL", {"url": "d"}, 0)
    assert begun.url_reverse_webui_exp_view() == begun._context._trial.dir
    begun.close()
    assert begun.train is None
    with pytest.raises(RuntimeError, match="init"):
        begun.url_reverse_webui_exp_view()


def test_a_stop_is_heard_and_is_no_end_of_the_training(begun, tmp_path):
    assert begun.preempt.should_preempt() is False
    os.kill(os.getpid(), signal.SIGTERM)
    assert begun.preempt.should_preempt() is True
    store(begun, 7)
    with pytest.raises(Preempted) as left:
        begun.close()
    assert left.value.code == 143
    end = json.loads((tmp_path / "kinetic-output/e/t/.kinetic/attempts/0001.end.json").read_text())
    assert (end["state"], end["checkpoint"]["step"]) == ("PREEMPTED", 7)


def test_a_stop_that_is_not_acknowledged_changes_nothing(begun, tmp_path):
    os.kill(os.getpid(), signal.SIGTERM)
    assert begun.preempt.should_preempt(auto_ack=False) is True
    begun.close()
    end = json.loads((tmp_path / "kinetic-output/e/t/.kinetic/attempts/0001.end.json").read_text())
    assert end["state"] == "COMPLETED"


def test_the_context_manager(core_v2, tmp_path):
    config = core_v2.Config(external_experiment_id="e", external_trial_id="t")
    with core_v2.init_context(config=config) as context:
        context.train.report_training_metrics(0, {"loss": 1})
    with pytest.raises(KeyError), core_v2.init_context(config=config) as context:
        raise KeyError("oops")
    records = tmp_path / "kinetic-output/e/t/.kinetic/attempts"
    states = [json.loads((records / f"000{attempt}.end.json").read_text())["state"] for attempt in (1, 2)]
    assert states == ["COMPLETED", "FAILED"]


def test_one_process_exchanges_values_with_itself(begun):
    assert begun.distributed.allgather(3) == begun.distributed.gather_local(3) == [3]
    assert begun.distributed.broadcast(3) == begun.distributed.broadcast_local(3) == 3
    assert (begun.distributed.rank, begun.distributed.get_size(), begun.distributed.get_num_agents()) == (0, 1, 1)


def test_ranks_come_from_the_launcher(core_v2, monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
    for name, value in zip(names, "341211", strict=True):
        monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="LOCAL_SIZE, CROSS_RANK, CROSS_SIZE not set"):
            core_v2.DistributedContext.from_deepspeed()
    found = core_v2.DistributedContext.from_torch_distributed()
    assert (found.rank, found.size, found.local_rank, found.local_size) == (3, 4, 1, 2)
    assert (found.cross_rank, found.cross_size) == (1, 1)
    with pytest.raises(NotImplementedError, match="exchange of values between processes"):
        found.allgather(1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.searcher.operations(),
        lambda it: it.info.master_url,
        lambda it: it.train.get_tensorboard_path(),
        lambda it: it.train.upload_tensorboard_files(),
        lambda it: it.train.get_experiment_best_validation(),
        lambda it: it.train.get_searcher(),
        lambda it: it.checkpoint.update_metadata("x", {}),
        lambda it: it.preempt.start(),
        lambda it: it._context.alert("title"),
    ],
)
def test_what_is_not_there_says_what_is(begun, ask):
    with pytest.raises(NotImplementedError, match=r"has no meaning in a Kinetic job\. \w+"):
        ask(begun)


def test_an_unknown_name_is_told_from_those_that_there_are(begun):
    with pytest.raises(NotImplementedError, match=r"checkpoint\.list has .* There is: delete, download, "):
        _ = begun.checkpoint.list
    with pytest.raises(NotImplementedError, match=r"context\.experimental has .* There is: checkpoint, close, "):
        _ = begun._context.experimental
    assert not hasattr(begun.train, "get_tensorboard_path")
    assert hasattr(begun.train, "report_metrics")


def test_what_has_no_effect_says_so(core_v2):
    with pytest.warns(UserWarning, match="`client` is not used"):
        core_v2.init(config=core_v2.Config(name="n"), client=object())
    with pytest.warns(UserWarning, match="profiler"):
        core_v2._context.profiler.on()
    with pytest.warns(UserWarning, match="raise an exception"):
        core_v2.train.report_early_exit(core_v2.EarlyExitReason.INVALID_HP)
    with pytest.raises(AttributeError, match="has no 'experimental'; it has Config"):
        _ = core_v2.experimental
