"""What a function returns becomes the task's value, or a reference that whoever wants the value opens."""

from __future__ import annotations

import pytest
from bombs import bomb
from installation import TaskKey
from project import until
from shop import same_json
from tasks import run, watch, work

from airflow_provider_kinetic.hooks.kinetic import load_result
from airflow_provider_kinetic.model.errors import ArtifactCorrupt, ResultGone, ResultUnreadable
from airflow_provider_kinetic.model.status import JobState

STRANGER = """
def f():
    import types
    module = sys.modules["stranger"] = types.ModuleType("stranger")
    exec("class Stranger: pass", module.__dict__)
    return module.Stranger()
"""


def test_a_small_plain_value_is_the_xcom(shop):
    shop.job("def f(): return {'loss': 0.5, 'names': ['a', None, True], 'steps': 3}")

    result = shop.run()

    assert result.value == {"loss": 0.5, "names": ["a", None, True], "steps": 3}
    assert same_json(result.value)
    assert set(result.xcoms) >= {"job_id", "result_uri", "output_dir", "kinetic_job"}
    assert result.xcoms["job_id"] == result.xcoms["kinetic_job"]["job_id"]
    assert shop.artifacts == [], "the job is cleaned up"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{1, 2, 3}", "set"),
        ("__import__('array').array('d', range(100))", "array.array"),
        ("__import__('numpy').float64(0.5)", "numpy.float64"),
        ("[{'deep': (1, 2j)}]", "list"),
        ("{'loss': float('inf')}", "dict"),
        ("list(range(20_000))", "list"),
    ],
)
def test_anything_else_is_a_reference_that_outlives_the_clean_up(shop, value, kind):
    shop.job(f"def f(): return {value}")

    reference = shop.run().value

    assert set(reference) == {"uri", "type", "size", "sha256"}
    assert reference["type"] == kind
    assert shop.artifacts == []
    assert load_result(reference) == eval(value)


def test_a_later_task_opens_the_reference(shop):
    shop.write("""
from airflow.sdk import task
from airflow_provider_kinetic import load_result

def f(): return {1, 2, 3}

with DAG("shop", schedule=None) as dag:
    made = KineticRunOperator(task_id="make", python_callable=f, **LOCAL)

    @task
    def total(found):
        return sum(load_result(found))

    total(made.output)
""")
    shop.run("make")

    assert shop.run("total").value == 6


def test_a_reference_to_an_object_that_was_replaced_is_not_opened(shop, tmp_path):
    shop.job("def f(): return {1, 2, 3}")
    reference = shop.run().value
    shop.ports.store.write(reference["uri"], bomb(tmp_path / "exploded"))

    with pytest.raises(ArtifactCorrupt):
        load_result(reference)

    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("value", [42, "text", {"loss": 0.5}, {"uri": 1}, None, [1]])
@pytest.mark.usefixtures("shop")
def test_a_value_that_came_as_it_is_cannot_be_loaded(value):
    with pytest.raises(ResultUnreadable, match="no reference"):
        load_result(value)


def test_a_value_of_a_type_that_is_not_here_is_never_opened_here(shop):
    shop.job(STRANGER)
    calls = shop.count_calls()

    result = shop.run()

    assert result.state == "success"
    assert result.value["type"] == "stranger.Stranger"
    assert "download result.pkl" not in calls
    with pytest.raises(ResultUnreadable, match="stranger"):
        load_result(result.value)


@pytest.mark.parametrize("push", [True, False])
def test_what_nobody_wants_is_not_downloaded(shop, push):
    shop.job("def f(): return 42", do_xcom_push=push)
    calls = shop.count_calls()

    result = shop.run()

    assert (result.state, result.value) == ("success", 42 if push else None)
    assert calls.count("download result.pkl") == (1 if push else 0)


def test_multiple_outputs_are_values_of_their_own(shop):
    shop.job("def f(): return {'loss': 0.5, 'step': 3}", multiple_outputs=True)

    xcoms = shop.run().xcoms

    assert (xcoms["loss"], xcoms["step"]) == (0.5, 3)


@pytest.mark.parametrize("value", ["{'huge': list(range(20_000))}", "{'odd': {1, 2}}"])
def test_multiple_outputs_that_are_no_xcoms_are_an_error(shop, value):
    shop.job(f"def f(): return {value}", multiple_outputs=True)

    result = shop.run()

    assert result.state == "failed"
    assert "`multiple_outputs`" in str(result.error)


@pytest.mark.parametrize(
    ("function", "push"),
    [("def f(): return 42", False), ("def f(): return {'odd': {1, 2}}", True)],
    ids=["nobody wants it", "by reference"],
)
def test_without_its_result_no_job_has_succeeded(shop, function, push):
    """Also where nobody would open it: a task that is green stands for a value that is there."""
    shop.job(function, do_xcom_push=push, deferrable=True)
    key = TaskKey("shop", "job", "run_1")
    shop.db.queue(key)
    work(shop.load("job"), shop.db, key)
    handle = shop.handle()
    until(lambda: shop.ports.cluster.status(handle).state is JobState.SUCCEEDED)
    shop.ports.store.delete(handle.artifact(handle.result_name))
    watch(shop.db, key)

    result = run(shop.load("job"), shop.db)

    assert result.state == "failed"
    assert isinstance(result.error, ResultGone)
