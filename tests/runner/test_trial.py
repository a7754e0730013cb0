"""Training code in a job: it stops with a last checkpoint, goes on from it, and leaves nothing unsaved."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path


def train(steps, pause=0.0, wait=True):
    from airflow_provider_kinetic import job

    t = job.trial()
    with t.restore() as found:
        start = int((found.path / "state").read_text()) if found else 0
    print("running", flush=True)
    for step in range(start + 1, steps + 1):
        time.sleep(pause)
        if t.stopping(step) or step % 5 == 0:
            with t.save(step, wait=wait, loss=1 / step) as path:
                (path / "state").write_text(str(step))
        t.exit_if_stopping()
    return start, t.attempt


def commits(job):
    folder = job.output / ".kinetic" / "checkpoints"
    return sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda each: each["step"])


def test_a_job_saves_as_the_attempt_that_it_is(job, by_value):
    ended = job.call(by_value(train), 7).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == (0, 1)
    assert [(each["step"], each["attempt"]) for each in commits(job)] == [(5, 1)]
    assert job.attempts() == ["0001.end.json", "0001.json"]
    end = job.record("attempts/0001.end.json")
    assert (end["state"], end["checkpoint"]["step"]) == ("COMPLETED", 5)
    assert job.leftovers() == []


def test_a_stop_saves_once_more_and_the_next_attempt_goes_on(job, by_value):
    job.environ["KINETIC_STOP_GRACE"] = "20"
    process = job.call(by_value(train), 40, 0.05).start()
    assert process.stdout.readline() == "running\n"
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    ended = job.end(process)
    assert (ended.code, ended.termination["outcome"]) == (143, "preempted")
    assert not job.has_result()
    saved = commits(job)[-1]["step"]
    assert 0 < saved < 40
    assert job.record("attempts/0001.end.json")["state"] == "PREEMPTED"
    ended = job.run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == (saved, 2)
    assert job.record("attempts/0002.json")["parent"]["checkpoint"]["step"] == saved


def test_what_is_on_its_way_when_the_function_ends_is_saved(job, by_value):
    ended = job.call(by_value(train), 5, 0.0, False).run()
    assert ended.code == 0, ended.output
    assert [each["step"] for each in commits(job)] == [5]


def fails_in_the_background():
    from airflow_provider_kinetic import job

    with job.trial().save(1, wait=False) as path:
        (path / "folder").mkdir()
        (path / "link").symlink_to(path / "folder")


def test_trouble_in_the_background_is_a_failure_of_the_function(job, by_value):
    ended = job.call(by_value(fails_in_the_background)).run()
    assert ended.code == 1
    assert "link to a folder" in str(job.result()["exception"])


def taken_over(folder):
    from airflow_provider_kinetic import job

    t = job.trial()
    (Path(folder) / "0002.json").write_text(json.dumps({"v": 1, "attempt": 2, "parent": {}}))
    try:
        with t.save(1) as path:
            (path / "state").write_text("1")
    except Exception:
        print("this must not hide it")


def test_an_attempt_that_was_replaced_leaves_no_result(job, by_value):
    ended = job.call(by_value(taken_over), str(job.output / ".kinetic" / "attempts")).run()
    assert ended.code == 143, ended.output
    assert not job.has_result()
    assert commits(job) == []


def test_steps_of_ours_keep_a_job_alive(job, by_value):
    """Three preemptions in a row without a new checkpoint would end it."""
    job.call(by_value(train), 1000, 0.05)
    for _ in range(4):
        process = job.start()
        assert process.stdout.readline() == "running\n"
        before = len(commits(job))
        while len(commits(job)) == before or commits(job)[-1]["attempt"] < len(job.attempts()):
            time.sleep(0.02)
        process.kill()
        process.communicate()
    assert job.record("attempts/0004.json")["parent"]["checkpoint"]["step"] >= 15


def forks():
    import os
    import signal
    import time

    child = os.fork()
    if not child:
        time.sleep(20)
        os._exit(1)
    os.kill(child, signal.SIGTERM)
    return os.waitpid(child, 0)[1]


def test_a_process_that_the_code_forks_off_ends_by_a_signal(job, by_value):
    ended = job.call(by_value(forks)).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == signal.SIGTERM


def epochs():
    from airflow_provider_kinetic import job

    for step in (20, 10, 30):
        with job.trial() as t:
            t.log({"loss": step}, step=step)
            with t.save(step) as path:
                (path / "state").write_text(str(step))
    return t.latest.step


def test_a_trial_is_opened_again_in_one_attempt(job, by_value):
    ended = job.call(by_value(epochs)).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == 30
    assert sorted(each["name"][-10:] for each in commits(job)) == ["a0001-0002", "a0001-0003"]
    segments = (job.output / ".kinetic/metrics/a0001-p0").glob("*.jsonl")
    assert sum(len(path.read_text().splitlines()) for path in segments) == 3
