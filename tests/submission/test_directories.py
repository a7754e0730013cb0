"""Where a task's outputs lie: the same place for every try, a new one after a finished training."""

from __future__ import annotations

import json
import zipfile

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError

WRITES = """
def f():
    kept = Path(os.environ["KINETIC_OUTPUT_DIR"])
    with (kept / "notes").open("a") as out:
        print(os.getpid(), file=out)
    if (Path("{gate}") / "broken").exists():
        raise ValueError("broken")
    return (kept / "notes").read_text().count("\\n")
"""


@pytest.fixture
def broken(shop):
    path = shop.folder / "broken"
    path.touch()
    return path


def test_the_directory_of_a_task(shop):
    shop.job(WRITES)

    assert shop.run().xcoms["output_dir"] == (shop.platform / "outputs" / "shop" / "job" / "run_1").as_uri()
    assert shop.run(run_id="run_2").xcoms["output_dir"].endswith("/shop/job/run_2")


def test_the_directory_says_which_task_it_belongs_to(shop):
    shop.job(WRITES)
    shop.run()

    trial = json.loads((shop.platform / "outputs/shop/job/run_1/.kinetic/trial.json").read_text())

    assert {name: trial[name] for name in ("dag_id", "task_id", "run_id", "map_index")} == {
        "dag_id": "shop",
        "task_id": "job",
        "run_id": "run_1",
        "map_index": "-1",
    }


def test_a_failed_trial_is_continued(shop, broken):
    shop.job(WRITES, retries=1)
    first = shop.run()
    broken.unlink()

    second = shop.again(first)

    assert second.xcoms["output_dir"] == first.xcoms["output_dir"]
    assert second.xcoms["job_id"] != first.xcoms["job_id"]
    assert second.value == 2


def test_a_failed_trial_that_is_cleared_is_continued_too(shop, broken):
    shop.job(WRITES)
    first = shop.run()
    broken.unlink()

    second = shop.again(first, clear=True)

    assert second.xcoms["output_dir"] == first.xcoms["output_dir"]
    assert second.value == 2


def test_a_finished_trial_that_is_cleared_begins_anew(shop):
    shop.job(WRITES)
    first = shop.run()

    second = shop.again(first, clear=True)
    third = shop.again(second, clear=True)

    where = first.xcoms["output_dir"]
    assert second.xcoms["output_dir"] == f"{where}~2"
    assert third.xcoms["output_dir"] == f"{where}~3"
    assert (first.value, second.value, third.value) == (1, 1, 1)


def test_a_directory_that_the_user_names_is_taken_as_it_is(shop, tmp_path):
    mine = (tmp_path / "mine").as_uri()
    shop.job(WRITES, output_dir=f"{mine}/")
    first = shop.run()

    second = shop.again(first, clear=True)

    assert first.xcoms["output_dir"] == second.xcoms["output_dir"] == mine
    assert (first.value, second.value) == (1, 2)


def test_a_directory_of_another_scheme_is_an_error_before_anything_is_sent(shop):
    shop.job(WRITES, output_dir="gs://bucket/mine")

    error = shop.run().error

    assert isinstance(error, ConfigurationError)
    assert "gs://bucket/mine" in str(error)
    assert "`output_dir`" in error.advice
    assert shop.artifacts == []
    assert shop.ports.cluster.list() == []


def test_a_directory_that_is_too_long_is_an_error_before_anything_is_sent(shop):
    shop.job(WRITES, output_dir=f"file:///{'x' * 1000}")

    assert "`output_dir` is 1008 bytes long" in str(shop.run().error)
    assert shop.artifacts == []


def test_a_project_around_the_platform_does_not_pack_it(shop):
    (shop.folder / "requirements.txt").touch()
    shop.job(WRITES, cleanup="never")
    shop.run()

    second = shop.run(run_id="run_2")

    with zipfile.ZipFile(shop.platform / "jobs" / second.xcoms["job_id"] / "context.zip") as context:
        assert {name for name in context.namelist() if not name.endswith("/")} == {
            ".kinetic/plan.json",
            "dags/shop.py",
            "requirements.txt",
        }
