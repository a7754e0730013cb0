"""Training code with Determined's names in a job: the task's directory, and a stop that is no end."""

from __future__ import annotations

import json
import signal
import time


def train(steps, pause=0.0):
    from airflow_provider_kinetic.job.compat import core_v2

    core_v2.init(config=core_v2.Config(external_experiment_id="e", external_trial_id="t"))
    first = 0
    if core_v2.info.latest_checkpoint is not None:
        with core_v2.checkpoint.restore_path(core_v2.info.latest_checkpoint) as path:
            first = int((path / "state").read_text())
    print("running", flush=True)
    for step in range(first + 1, steps + 1):
        time.sleep(pause)
        core_v2.train.report_training_metrics(step, {"loss": step})
        stop = core_v2.preempt.should_preempt()
        if stop or step == steps:
            with core_v2.checkpoint.store_path({"steps_completed": step}) as (path, _):
                (path / "state").write_text(str(step))
        if stop:
            break
    return first


def test_a_loop_that_leaves_by_break_is_continued(job, by_value):
    job.environ["KINETIC_STOP_GRACE"] = "20"
    process = job.call(by_value(train), 60, 0.05).start()
    assert process.stdout.readline() == "running\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert (ended.code, ended.termination["outcome"]) == (143, "preempted"), ended.output
    assert not job.has_result()
    assert job.record("attempts/0001.end.json")["state"] == "PREEMPTED"
    saved = job.record("attempts/0001.end.json")["checkpoint"]["step"]
    assert 0 < saved < 60
    ended = job.call(by_value(train), saved + 5).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == saved
    series = json.loads((job.output / ".kinetic/metrics/summary.json").read_text())["series"]
    assert series["train/loss"]["count"] == saved + 5


def twice():
    from airflow_provider_kinetic.job.compat import core_v2

    attempts = []
    for step in (1, 2):
        core_v2.init()
        core_v2.train.report_training_metrics(step, {"loss": 1})
        attempts.append(core_v2.info.trial._trial_run_id)
        core_v2.close()
    return attempts


def test_a_second_init_goes_on_with_the_same_attempt(job, by_value):
    ended = job.call(by_value(twice)).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == [1, 1]
    series = json.loads((job.output / ".kinetic/metrics/summary.json").read_text())["series"]
    assert series["train/loss"]["count"] == 2
