"""Starts are numbered, preemptions are counted, and a job has one outcome."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Entry, FileStorage, path_to_uri
from airflow_provider_kinetic.job.training.steps import newest_step


def kill(job):
    """Start, wait for the first line, and take the machine away."""
    process = job.start()
    assert process.stdout.readline() == "running\n"
    process.kill()
    process.communicate()


def endless(mark=None, most=9):
    """Leaves ``most`` steps of Orbax in the folder ``mark``."""
    if mark and len(list(Path(mark).glob("*"))) < most:
        number = len(list(Path(mark).glob("*")))
        step = Path(mark) / str(number * 100)
        step.mkdir(parents=True)
        (step / "commit_success.txt").touch()
    print("running", flush=True)
    time.sleep(60)


def test_record_of_a_start_and_of_its_end(job):
    job.environ.update(KINETIC_DAG_ID="retrain", KINETIC_TASK_ID="train")
    (job.output / "checkpoints" / "120").mkdir(parents=True)
    (job.output / "checkpoints" / "120" / "commit_success.txt").touch()
    (job.output / "checkpoints" / "130.orbax-checkpoint-tmp").mkdir()
    (job.output / "checkpoints" / "130.orbax-checkpoint-tmp" / "d").touch()
    job.call(len, "four").run()
    record = job.record("attempts/0001.json")
    ours = {"v", "attempt", "job_id", "host", "pid", "host_index", "started", "nonce", "parent"}
    assert set(record) == ours | {"dag_id", "task_id"}
    assert record["attempt"] == 1
    assert record["job_id"] == "job-1"
    assert record["parent"] is None
    end = job.record("attempts/0001.end.json")
    assert end["state"] == "COMPLETED"
    assert end["error"] is None
    assert end["checkpoint"] == {"step": 120, "uri": path_to_uri(job.output / "checkpoints" / "120")}
    trial = job.record("trial.json")
    assert trial["dag_id"] == "retrain"
    assert trial["task_id"] == "train"
    assert trial["created"].endswith("Z")


def test_numbers_go_on_over_jobs_and_name_their_origin(job, another):
    job.call(len, "four").run()
    (job.output / "checkpoints" / "7").mkdir(parents=True)
    (job.output / "checkpoints" / "7" / "data").touch()
    another("job-2").call(len, "four").run()
    parent = job.record("attempts/0002.json")["parent"]
    here = {"step": 7, "uri": path_to_uri(job.output / "checkpoints" / "7")}
    assert parent.pop("saved") > 0
    assert parent == {"attempt": 1, "checkpoint": here, "seq": 0}
    assert job.attempts() == ["0001.end.json", "0001.json", "0002.end.json", "0002.json"]


def test_eight_at_once_take_eight_numbers(another):
    jobs = [another(f"job-{n}").call(len, "four") for n in range(8)]
    for job, process in [(job, job.start()) for job in jobs]:
        assert job.end(process).code == 0
    records = [json.loads(path.read_text()) for path in (jobs[0].output / ".kinetic/attempts").glob("????.json")]
    assert sorted(record["attempt"] for record in records) == list(range(1, 9))
    assert {record["job_id"] for record in records} == {job.job_id for job in jobs}


def test_the_budget_ends_a_job(job, by_value):
    job.environ["KINETIC_MAX_PREEMPTIONS"] = "1"
    job.call(by_value(endless), str(job.output / "checkpoints"))
    kill(job)
    kill(job)
    ended = job.run()
    assert ended.code == 117
    assert ended.termination["outcome"] == "budget_spent"
    assert "max_preemptions=1" in ended.termination["reason"]
    assert job.record("attempts/0003.end.json")["state"] == "BUDGET_SPENT"
    result = job.result()
    assert type(result["exception"]) is RuntimeError
    assert "preempted 2 times" in str(result["exception"])
    assert "preempted 2 times" in job.log()


def test_three_attempts_without_a_new_checkpoint_end_a_job(job, by_value):
    job.call(by_value(endless), str(job.output / "checkpoints"), 1)
    for _ in range(4):
        kill(job)
    ended = job.run()
    assert ended.code == 117
    assert "without a new checkpoint: all started from the checkpoint of step 0" in ended.termination["reason"]


def test_progress_keeps_a_job_alive(job, by_value):
    job.call(by_value(endless), str(job.output / "checkpoints"))
    for _ in range(4):
        kill(job)
    assert job.record("attempts/0004.json")["parent"]["checkpoint"]["step"] == 200


@pytest.mark.parametrize("form", ["pickle", "json"])
@pytest.mark.parametrize(("fails", "code", "state"), [(False, 0, "COMPLETED"), (True, 1, "FAILED")])
def test_a_result_that_is_there_is_final(job, form, fails, code, state):
    calls = job.folder / "calls"

    def once(path):
        with Path(path).open("a") as file:
            file.write("called\n")
        if fails:
            raise ValueError("always")
        return [1]

    job.environ["KINETIC_RESULT_FORMAT"] = form
    first = job.call(once, str(calls)).run()
    before = (job.artifacts / "result.pkl").read_bytes()
    again = job.run()
    assert first.code == again.code == code
    assert calls.read_text() == "called\n"
    assert (job.artifacts / "result.pkl").read_bytes() == before
    digests = [{name: facts["sha256"] for name, facts in one.termination["objects"].items()} for one in (again, first)]
    assert digests[0] == digests[1]
    assert job.record("attempts/0002.end.json")["state"] == state


def test_without_an_output_directory_a_job_runs_and_keeps_no_records(job):
    job.environ["KINETIC_OUTPUT_DIR"] = ""
    ended = job.call(len, "four").run()
    assert ended.code == 0
    assert not job.output.exists()
    assert job.result()["result"] == 4


def test_an_output_directory_that_cannot_be_written_is_named(job):
    job.output.write_text("a file")
    assert job.call(len, "four").run().code == 1
    assert path_to_uri(job.output) in str(job.result()["exception"])


def test_on_an_object_store_only_the_marker_commits_a_step():
    class Bucket(FileStorage):
        def tree(self, folder, *, numbered):
            beside = "4/commit_success.txt", "30/default/d", "40"
            below = "5/commit_success.txt", "9/default/d", "20/default/commit_success.txt"
            return [Entry(f"{folder}/{name}", name) for name in (beside if numbered else below)]

    found = newest_step(Bucket(), TrialLayout("gs://bucket/out"))
    assert found is not None
    assert found.to_dict() == {"step": 5, "uri": "gs://bucket/out/checkpoints/5"}
