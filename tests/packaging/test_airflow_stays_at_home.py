"""A DAG file is full of Airflow; the job that runs its function must not need any of it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

TASKS = """
    import datetime
    from airflow.sdk import DAG, Variable, task

    def plain(x):
        return x + 1

    @task
    def helper(x):
        return plain(x) * 10

    @task.python(retries=2)
    def countdown(n):
        return n if n == 0 else countdown(n - 1)

    def func(x):
        return helper(x)
"""


def test_helpers_decorated_as_tasks_are_plain_functions(load: Any, job: Any) -> None:
    assert job.run(load(dag=TASKS).func, 2) == 30


def test_decorated_task_itself(load: Any, job: Any) -> None:
    assert job.run(load(dag=TASKS).helper, 2) == 30


def test_decorated_task_that_calls_itself(load: Any, job: Any) -> None:
    dag = load(dag=TASKS)
    assert job.run(dag.countdown, 3) == 0
    assert job.run(dag.countdown.function, 3) == 0


def test_tasks_defined_inside_a_dag_function(load: Any, job: Any) -> None:
    dag = load(
        dag="""
            from airflow.sdk import task
            def pipeline():
                @task
                def helper(x): return x + 40
                @task
                def train(x): return helper(x)
                return train
            func = pipeline().function
        """
    )
    assert job.run(dag.func, 2) == 42


ANNOTATED = """
    from collections.abc import Callable
    from typing import Annotated, Optional
    from airflow.sdk import DAG, BaseHook, Context

    class Settings:
        hook: BaseHook = None
        n: int = 40

    def helper(x: Optional[DAG]) -> Context:
        return x

    def func(x: int, dag: DAG = None, hooks: list[BaseHook] = (), call: Callable[[DAG], int] = None,
             marked: Annotated[int, DAG] = 0) -> dict[str, Context]:
        return [helper(x) + Settings.n, sorted(func.__annotations__), sorted(Settings.__annotations__)]
"""


def test_annotations_that_name_airflow_types_are_left_out(load: Any, job: Any) -> None:
    dag = load(dag=ANNOTATED)
    before = dict(dag.func.__annotations__)
    assert job.run(dag.func, 2) == [42, ["x"], ["n"]]
    assert dag.func.__annotations__ == before


def test_airflow_that_is_really_used_is_told(load: Any, job: Any) -> None:
    dag = load(dag="from airflow.sdk import Variable\ndef func(x): return Variable.get(x)")
    job.pack(dag.func, "name")
    assert [w for w in job.warnings if "airflow.sdk.definitions.variable.Variable" in w]


def test_quiet_without_airflow(load: Any, job: Any) -> None:
    job.pack(load(dag=TASKS).func, 2)
    assert job.warnings == []


@pytest.fixture
def lazy() -> Any:
    """A sequence that reads from Airflow item by item, as a mapped upstream task gives it."""
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    class Read(LazyXComSequence):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, key: Any) -> Any:
            return [10, 20, 30][key]

        def __iter__(self) -> Any:
            return iter([10, 20, 30])

    Read.__module__ = LazyXComSequence.__module__
    return Read(xcom_arg=object(), ti=object())


def test_results_of_a_mapped_task_are_lists(load: Any, job: Any, lazy: Any) -> None:
    dag = load(dag="def func(a, b, c): return [a, b, c, type(a).__name__]")
    shared = [10, 20, 30]
    assert job.run(dag.func, lazy, {"deep": [(lazy, 1)]}, c=[lazy]) == [
        shared,
        {"deep": [[shared, 1]]},
        [shared],
        "list",
    ]


def test_plain_values_of_the_context(load: Any, job: Any) -> None:
    dag = load(dag="def func(run_id, at): return [run_id, at.isoformat()]")
    at = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    assert job.run(dag.func, "manual", at) == ["manual", "2030-01-02T00:00:00+00:00"]
