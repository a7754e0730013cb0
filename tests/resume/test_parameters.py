"""The parameters of a task: refused where they stand, or when they are rendered, and what becomes of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.names import shared_dir
from airflow_provider_kinetic.model.resume import asked, policy_of

TELLS = """
def f(lr=0.1, ds=None, hub_token="hunter2"):
    from airflow_provider_kinetic import job
    t = job.trial()
    with t.restore() as found:
        start = found.step if found else 0
    with t.save(start + 1) as folder:
        (folder / "state").write_text("x")
    return {"start": start, "args": dict(t.args), "resumed": t.resumed, "source": t.source}
"""


def record(result: Any, name: str = "attempts/0001.json") -> dict[str, Any]:
    return json.loads((uri_to_path(result.xcoms["output_dir"]) / ".kinetic" / name).read_text())


# Where they stand in the DAG file.


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("resume", "sometimes", "`resume` is 'sometimes'; it must be one of auto, always, never, must"),
        ("on_mismatch", "ignore", "`on_mismatch` is 'ignore'; it must be one of warn, error, fresh"),
        ("restore_from", "s3://bucket/x", "`restore_from` is 's3://bucket/x'"),
        ("restore_from", "checkpoints/7", "`restore_from` is 'checkpoints/7'"),
    ],
)
def test_a_bad_literal_is_found_when_the_dag_is_parsed(shop, parameter, value, words):
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        shop.job("def f(): return 42", **{parameter: value})


# When they are rendered.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": "{{ params.get('how', 'later') }}"}, "`resume` is 'later'"),
        ({"trial": "{{ params.get('name', '') }}"}, "`trial` is ''"),
        ({"trial": "{{ none }}"}, "`trial` is 'None'"),
        ({"experiment": " "}, "`experiment` is ' '"),
        ({"restore_from": "{{ run_id }}"}, "`restore_from` is 'run_1'"),
        (
            {"restore_from": "gs://bucket/x"},
            "`restore_from` is 'gs://bucket/x', but jobs of this platform read file://",
        ),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_sent(shop, options, words):
    shop.job("def f(): return 42", **options)

    error = shop.run().error

    assert isinstance(error, ConfigurationError)
    assert words in str(error)
    assert shop.artifacts == []


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"kinetic_resume": "no"}, "`kinetic_resume` in the run's conf for `job` is 'no'"),
        ({"kinetic_resume": {"job": True}}, "`kinetic_resume` in the run's conf for `job` is True"),
    ],
)
def test_a_bad_word_of_a_run_is_refused(shop, conf, words):
    shop.job("def f(): return 42")
    shop.db.confs["run_1"] = conf

    assert words in str(shop.run().error)


@pytest.mark.parametrize("name", ["x" * 501, "\ud800", "\n", [], {"a": 1}, True])
def test_what_is_no_name(name):
    with pytest.raises(ConfigurationError, match=r"`trial` is .* it must be a name"):
        asked(trial=name)


@pytest.mark.parametrize(
    "name", ["../..", "..", ".", "~2", "x~2", "a/b", "é" * 300, "x" * 500, "a\0b", "$(HOME)", " x "]
)
def test_any_other_name_is_one_folder_below_the_experiment(name):
    base = shared_dir("gs://acme/outputs", "vision", asked(trial=name).trial)

    assert re.fullmatch(r"gs://acme/outputs/trials/vision/[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,199}", base)


@pytest.mark.parametrize("said", ["NEVER", "never\n", 3, ["never"], {"job": {"job": "never"}}, {"job": ["must"]}])
def test_a_run_may_say_a_policy_and_nothing_else(said):
    with pytest.raises(ConfigurationError, match="`kinetic_resume` in the run's conf for `job`"):
        policy_of("auto", {"kinetic_resume": said}, "job")


@pytest.mark.parametrize("said", [None, {}, {"job": None}, {"other": 3}])
def test_a_run_that_says_nothing_of_a_task_leaves_it_its_own(said):
    assert policy_of("must", {"kinetic_resume": said, "resume": "never", "trial": "y"}, "job") == "must"


# What becomes of them.


def where(result: Any) -> str:
    return str(result.xcoms["output_dir"].rpartition("/outputs/")[2])


def test_a_named_trial_has_a_directory_that_runs_share(shop):
    shop.job(TELLS, trial="resnet {{ params.get('size', 50) }}", experiment="vision")
    first = shop.run()
    second = shop.run(run_id="run_2")

    assert where(first) == where(second)
    assert where(first).startswith("trials/vision/resnet-50-")
    assert (first.value["start"], second.value["start"]) == (0, 1)
    assert (first.value["resumed"], second.value["resumed"]) == (False, True)


def test_the_records_say_what_the_function_was_called_with(shop):
    shop.job(TELLS, trial="x", op_kwargs={"lr": 0.2})
    result = shop.run()

    facts = {"experiment": "shop/job", "trial": "x", "args": {"lr": 0.2, "hub_token": "***"}, "run_id": "run_1"}
    for name in ("trial.json", "attempts/0001.json"):
        found = record(result, name)
        assert {each: found[each] for each in facts} == facts, "a value of the context is no argument"
        assert len(found["args_digest"]) == 64
    assert result.value["args"] == facts["args"]
    assert "hunter2" not in json.dumps(record(result))


def test_a_run_may_say_that_it_begins_anew(shop):
    shop.job(TELLS, trial="x", retries=1)
    shop.run()
    shop.db.confs["run_2"] = {"kinetic_resume": "never"}
    shop.db.confs["run_3"] = {"kinetic_resume": {"job": "always", "other": "never"}}

    assert (anew := shop.run(run_id="run_2")).xcoms["output_dir"].endswith("~2")
    assert anew.value["start"] == 0
    on = shop.run(run_id="run_3")
    assert on.value["start"] == 1
    assert "`kinetic_resume` in the run's conf names 'other': the DAG shop has no such task" in on.log


MAPPED = """
def f(lr): pass

with DAG("shop", schedule=None) as dag:
    KineticRunOperator.partial(task_id="job", python_callable=f, **{{**LOCAL, **{options!r}}}).expand(
        op_kwargs=[dict(lr=0.1), dict(lr=0.2)]
    )
"""


@pytest.mark.parametrize(
    ("trial", "name"),
    [
        ("x", "x-1"),
        ("x{{ ti.map_index }}", "x1"),
        ("lr={{ task.op_kwargs.lr }}", "lr=0.2"),
    ],
)
def test_a_mapped_task_has_a_trial_for_each_index(shop, trial, name):
    shop.write(MAPPED.format(options={"trial": trial}))

    assert where(shop.run(map_index=1)).endswith(f"/{name}")


def test_an_index_that_means_something_else_now_is_an_error_in_a_mapped_task(shop):
    saves = "import pathlib; pathlib.Path(os.environ['KINETIC_OUTPUT_DIR'], 'state').touch(); raise ValueError(lr)"
    shop.write(MAPPED.replace("pass", saves).format(options={}))
    first = shop.run(map_index=1)
    shop.write(MAPPED.replace("lr=0.2", "lr=0.3").format(options={}))
    shop.db.clear(first.key)

    error = shop.run(map_index=1).error

    assert isinstance(error, ConfigurationError)
    assert "lr: 0.2 → 0.3" in str(error)
