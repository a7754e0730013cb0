"""A function that fails fails its task with its own exception, as far as it can be brought back, and with its words."""

from __future__ import annotations

import json

import pytest

from airflow_provider_kinetic.model.errors import (
    CheckpointCorrupt,
    InfrastructureError,
    JobPreempted,
    ResultUnreadable,
    UserCodeError,
)


def text(result) -> str:
    return "\n".join(result.log)


def test_the_users_exception_is_the_cause(shop):
    shop.job("def g(): return {}['lost']\ndef f(): return g()")

    result = shop.run()

    assert result.state == "failed"
    assert isinstance(result.error, UserCodeError)
    assert isinstance(result.error.__cause__, KeyError)
    assert result.error.__cause__.args == ("lost",)
    assert "f() raised KeyError: 'lost'" in str(result.error)
    assert "in g" in result.error.remote_traceback
    assert result.error.remote_traceback.rstrip() in text(result)
    assert any("in g" in note for note in result.error.__cause__.__notes__)
    assert shop.artifacts == [result.xcoms["job_id"]], "what failed stays to be looked at"


def test_an_exception_of_the_dag_file_is_of_that_class_again(shop):
    task = shop.job(
        "class Diverged(Exception):\n"
        "    def __init__(self, step): super().__init__(f'diverged at {step}'); self.step = step\n"
        "    def __reduce__(self): return (Diverged, (self.step,))\n"
        "def f(): raise Diverged(7)"
    )
    import tasks

    result = tasks.run(task, shop.db)

    cause = result.error.__cause__
    assert type(cause) is task.python_callable.__globals__["Diverged"]
    assert cause.step == 7


def test_an_exception_whose_class_is_not_here_is_told_in_words(shop):
    shop.job("""
def f():
    import types
    module = sys.modules["stranger"] = types.ModuleType("stranger")
    exec("class Odd(Exception): pass", module.__dict__)
    raise module.Odd("very odd")
""")

    error = shop.run().error

    assert isinstance(error, UserCodeError)
    assert "stranger.Odd: very odd" in str(error)
    assert "Install the package" in error.advice


@pytest.mark.parametrize("result_format", ["pickle", "json"])
def test_an_exception_that_cannot_travel_is_told_in_words(shop, result_format):
    shop.job(
        "class Open(Exception):\n    def __reduce__(self): raise TypeError('holds a socket')\n"
        "def f(): raise Open('lost connection')",
        result_format=result_format,
    )

    result = shop.run()

    assert isinstance(result.error, UserCodeError)
    assert "lost connection" in str(result.error)
    assert "in f" in result.error.remote_traceback


def test_an_exit_is_told_with_its_code(shop):
    shop.job("def f(): sys.exit(3)")

    error = shop.run().error

    assert isinstance(error, UserCodeError)
    assert "sys.exit(3)" in str(error)


def test_a_process_that_ends_itself_is_diagnosed_with_its_last_output(shop):
    shop.job("def f():\n    print('about to go', flush=True)\n    os._exit(7)")

    error = shop.run().error

    assert isinstance(error, UserCodeError)
    assert "code 7" in str(error)
    assert "| about to go" in str(error)


@pytest.mark.parametrize(
    ("result_format", "value", "word"), [("pickle", "(x for x in 'abc')", "generator"), ("json", "{1, 2}", "set")]
)
def test_a_value_that_cannot_travel_is_the_functions_fault(shop, result_format, value, word):
    shop.job(f"def f(): return {value}", result_format=result_format)

    error = shop.run().error

    assert isinstance(error, ResultUnreadable)
    assert "f() ended, but" in str(error)
    assert word in str(error)
    assert "KINETIC_OUTPUT_DIR" in error.advice


def test_do_xcom_push_does_not_hide_a_failure(shop):
    shop.job("def f(): raise ValueError('broken')", do_xcom_push=False)

    assert isinstance(shop.run().error.__cause__, ValueError)


def test_an_interpreter_of_another_version_is_found_before_anything_is_opened(shop, another_python):
    version, interpreter = another_python
    shop.job("def f(): return 42", container_image=interpreter)

    error = shop.run().error

    assert isinstance(error, InfrastructureError)
    assert f"Python {version}" in str(error)
    assert "container_image" in str(error)


OURS = """
def f():
    from airflow_provider_kinetic.job import CheckpointCorrupt
    raise CheckpointCorrupt("The checkpoint of step 7 is damaged.", advice="Restore an older one.")
"""


@pytest.mark.parametrize("result_format", ["pickle", "json"])
def test_an_error_of_ours_arrives_as_itself(shop, result_format):
    """Whoever retries tells it from one of the user's code; the result itself opens without this package."""
    shop.job(OURS, result_format=result_format)

    result = shop.run()

    assert type(result.error) is CheckpointCorrupt
    assert (result.error.summary, result.error.advice) == (
        "The checkpoint of step 7 is damaged.",
        "Restore an older one.",
    )
    assert "in f" in text(result)
    end = json.loads(next(shop.platform.rglob("attempts/0001.end.json")).read_text())
    assert end["error"] == {"type": "CheckpointCorrupt", "text": "The checkpoint of step 7 is damaged."}


def test_a_process_that_was_told_to_stop_by_others_was_preempted(shop):
    """Not by this cluster, so it is not started again; but a retry is worth it."""
    shop.job("def f():\n    os.kill(os.getppid(), 15)\n    time.sleep(60)", stop_grace=2)

    error = shop.run().error

    assert type(error) is JobPreempted
    assert "stopped on request" in error.summary


def test_one_that_another_attempt_has_replaced_says_so(shop):
    shop.job(
        "def f():\n    from airflow_provider_kinetic.job import Superseded\n    raise Superseded('Another one runs.')"
    )

    error = shop.run().error

    assert type(error) is JobPreempted
    assert "Another one runs" in error.summary
