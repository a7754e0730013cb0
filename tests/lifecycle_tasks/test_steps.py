"""Submit, observe, collect and clean up as tasks of their own: one DAG, run task by task."""

from __future__ import annotations

import pytest
from installation import TaskKey
from project import until
from tasks import watch, work

from airflow_provider_kinetic.hooks.kinetic import load_result
from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.model.errors import ConfigurationError, JobNotFound, UserCodeError
from airflow_provider_kinetic.model.status import JobState

STEPS = """
def f():
    at_the_gate("{gate}")
    {body}

with DAG("shop", schedule=None) as dag:
    submit = KineticSubmitOperator(task_id="submit", python_callable=f, **LOCAL)
    job = submit.output["kinetic_job"]
    KineticJobSensor(task_id="wait", job=job, deferrable={deferrable})
    KineticCollectOperator(task_id="collect", job=job)
    KineticCleanupOperator(task_id="clean", job=job)
    KineticCleanupOperator(task_id="clean_object", job=job, artifacts=False)
    KineticCleanupOperator(task_id="clean_artifacts", job=job, k8s=False)
    by_id = "{{ var.value.job }}"
    KineticRunOperator(task_id="attach", job_id=by_id)
    KineticJobSensor(task_id="wait_by_id", job_id=by_id, deferrable={deferrable})
    KineticCollectOperator(task_id="collect_by_id", job_id=by_id)
    KineticCleanupOperator(task_id="clean_by_id", job_id=by_id)
    KineticCollectOperator(task_id="both", job=job, job_id=by_id)
    KineticCollectOperator(task_id="neither")
"""


@pytest.fixture
def steps(shop):
    """``steps(body)`` writes the DAG file and runs the submitting task; the handle of its job."""

    def write(body="return {'loss': 0.5}", *, deferrable=False, open_gate=True):
        shop.write(STEPS.replace("{body}", body).replace("{deferrable}", str(deferrable)))
        if open_gate:
            shop.open_gate()
        submitted = shop.run("submit")
        assert submitted.state == "success", submitted.error
        shop.db.variables["job"] = submitted.value
        return shop.handle("submit")

    return write


def over(shop, handle):
    until(lambda: shop.ports.cluster.status(handle).state.terminal)


def gone(shop, handle):
    return shop.ports.cluster.status(handle).state is JobState.NOT_FOUND


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
def test_the_whole_life_of_a_job(shop, steps, deferrable):
    handle = steps(deferrable=deferrable)
    status = shop.run("wait").value
    assert (status["state"], status["exit_code"]) == ("SUCCEEDED", 0)
    assert shop.run("collect").value == {"loss": 0.5}
    assert shop.run("clean").state == "success"

    assert gone(shop, handle)
    assert shop.artifacts == []
    assert shop.ports.store.stat(handle.result_uri) is not None, "the result stays beside the outputs"


def test_the_submitting_task_pushes_what_the_others_need(shop, steps):
    handle = steps()

    xcoms = {name: shop.db.xcom(TaskKey("shop", "submit", "run_1"), name) for name in ("return_value", "job_id")}

    assert set(xcoms.values()) == {handle.job_id}
    assert shop.db.xcom(TaskKey("shop", "submit", "run_1"), "result_uri") == handle.result_uri
    assert shop.db.xcom(TaskKey("shop", "submit", "run_1"), "output_dir") == handle.output_dir


def test_a_result_is_collected_as_often_as_asked(shop, steps):
    steps()
    shop.run("wait")

    first = shop.run("collect")
    assert first.value == shop.again(first).value == {"loss": 0.5}


@pytest.mark.parametrize(
    ("task_id", "run_id"),
    [("collect", "run_1"), ("collect_by_id", "run_2"), ("attach", "run_2"), ("wait_by_id", "run_2")],
)
def test_a_job_is_found_again_after_its_clean_up(shop, steps, task_id, run_id):
    steps()
    shop.run("wait")
    shop.run("clean")

    result = shop.run(task_id, run_id=run_id)

    assert result.state == "success", result.error
    if task_id == "wait_by_id":
        assert result.value["state"] == "SUCCEEDED"
    else:
        assert result.value == {"loss": 0.5}


def test_a_reference_of_a_cleaned_job_still_opens(shop, steps):
    steps("return {1, 2, 3}")
    shop.run("wait")
    reference = shop.run("collect").value
    shop.run("clean")

    assert load_result(reference) == {1, 2, 3}


# What went wrong.


def test_there_is_nothing_to_collect_of_a_job_that_runs(shop, steps):
    steps(open_gate=False)

    error = shop.run("collect").error

    assert isinstance(error, ConfigurationError)
    assert "KineticJobSensor" in error.advice


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
def test_the_sensor_of_a_job_that_failed_shows_what_the_function_raised(shop, steps, deferrable):
    steps("raise ValueError('broken')", deferrable=deferrable)

    result = shop.run("wait")

    assert result.state == "failed"
    assert isinstance(result.error, UserCodeError)
    assert isinstance(result.error.__cause__, ValueError)
    assert "ValueError: broken" in "\n".join(result.log)


def test_the_sensor_of_a_job_that_died_shows_its_last_output(shop, steps):
    steps("print('about to go', flush=True); os._exit(7)")

    error = shop.run("wait").error

    assert "code 7" in str(error)
    assert "| about to go" in str(error)


def test_the_sensor_of_a_cancelled_job_says_so(shop, steps):
    handle = steps(open_gate=False)
    cleanup.cancel(shop.ports, handle, by="a test", wait=10)

    assert "was cancelled" in str(shop.run("wait").error)


def test_the_sensor_learns_how_a_job_ended_that_somebody_cleaned_up_between_two_looks(shop, steps):
    handle = steps("raise ValueError('broken')", deferrable=True, open_gate=False)
    key = TaskKey("shop", "wait", "run_1")
    shop.db.queue(key)
    work(shop.load("wait"), shop.db, key)
    shop.open_gate()
    over(shop, handle)
    cleanup.clean(shop.ports, handle, by="somebody else")

    assert watch(shop.db, key)["status"]["state"] == "NOT_FOUND"

    error = shop.run("wait").error

    assert isinstance(error, UserCodeError)
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("task_id", ["collect_by_id", "wait_by_id", "attach"])
def test_an_unknown_job_is_an_error(shop, steps, task_id):
    steps()
    shop.db.variables["job"] = "job-0123456789abcdef"

    error = shop.run(task_id).error

    assert isinstance(error, JobNotFound)
    assert "job-0123456789abcdef" in str(error)
    assert "jobs list" in error.advice


def test_nothing_is_left_to_clean_of_an_unknown_job(shop, steps):
    steps()
    shop.db.variables["job"] = "job-0123456789abcdef"

    assert shop.run("clean_by_id").state == "success"


@pytest.mark.parametrize("task_id", ["both", "neither"])
def test_a_job_is_named_once(shop, steps, task_id):
    steps()

    error = shop.run(task_id).error

    assert isinstance(error, ConfigurationError)
    assert "`job`" in str(error)
    assert "`job_id`" in str(error)


# Clean-up.


def test_a_clean_up_before_the_submit_has_nothing_to_do(shop, steps):
    steps()

    assert shop.run("clean", run_id="run_2").state == "success"


def test_a_clean_up_cancels_what_runs(shop, steps):
    handle = steps(open_gate=False)
    until(lambda: shop.begun)

    assert shop.run("clean").state == "success"

    until(lambda: not shop.processes())
    assert gone(shop, handle)
    assert shop.artifacts == []


def test_a_clean_up_can_be_repeated(shop, steps):
    handle = steps()
    over(shop, handle)
    first = shop.run("clean")

    assert shop.again(first).state == "success"
    assert shop.run("collect").value == {"loss": 0.5}


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (["clean_object"], (True, False)),
        (["clean_artifacts"], (False, True)),
        (["clean_object", "clean_artifacts"], (False, False)),
        (["clean_artifacts", "clean_object"], (False, False)),
    ],
)
def test_either_half_can_be_cleaned(shop, steps, order, left):
    handle = steps()
    over(shop, handle)

    for task_id in order:
        assert shop.run(task_id).state == "success"

    artifacts, there = left
    assert bool(shop.artifacts) == artifacts
    assert gone(shop, handle) != there
    assert shop.run("collect").value == {"loss": 0.5}
    assert shop.run("wait").state == "success"


def test_what_the_job_wrote_survives(shop, steps):
    handle = steps("Path(os.environ['KINETIC_OUTPUT_DIR'], 'model').write_text('weights'); print('hello')")
    over(shop, handle)
    shop.run("clean")

    assert shop.ports.store.read(f"{handle.output_dir}/model") == b"weights"
    assert "hello" in "".join(shop.ports.store.read(i.uri).decode() for i in shop.ports.store.list(handle.logs))


@pytest.mark.parametrize(
    "last", ["raise ValueError('no user at ' + os.environ['DATABASE'])", "time.sleep(0.3); os.kill(os.getppid(), 9)"]
)
def test_tasks_that_know_no_secret_show_none_of_a_job_that_failed(shop, last):
    """Also where it was killed before anything of its log was stored."""
    source = STEPS.replace("{body}", "os.write(1, b'to ' + os.environb[b'DATABASE'] + b'\\n'); " + last)
    secrets = "python_callable=f, secrets={'DATABASE': 'postgres://me:pw@host'}"
    shop.monkeypatch.setenv("AIRFLOW__KINETIC__MAX_PREEMPTIONS", "0")
    shop.write(source.replace("{deferrable}", "True").replace("python_callable=f", secrets))
    shop.open_gate()
    assert shop.run("submit").state == "success"

    for task_id in ("wait", "collect"):
        result = shop.run(task_id)
        told = [*result.log, str(result.error), str(result.error.__cause__), str(result.xcoms)]
        assert result.state != "success"
        assert "***" in "\n".join(told)
        assert "me:pw" not in "\n".join(told)
    kept = [path for path in shop.platform.rglob("*") if path.is_file() and path.name != "secrets.json"]
    assert not [path for path in kept if b"me:pw" in path.read_bytes()]
