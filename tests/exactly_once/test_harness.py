"""The tests' own Airflow behaves as Airflow's server does where exactly-once depends on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from airflow.sdk import DAG, BaseOperator, task
from airflow.sdk.exceptions import TaskDeferralTimeout
from airflow.triggers.base import BaseTrigger, TriggerEvent
from installation import Installation, TaskKey
from tasks import Shutdown, expire, run, watch, work


class Alarm(BaseTrigger):
    """Fires ``answer`` after ``seconds``; tells ``told`` of what was done to it."""

    def __init__(self, seconds: float, answer: str, told: str) -> None:
        super().__init__()
        self.seconds, self.answer, self.told = seconds, answer, Path(told)

    def serialize(self):
        return f"{__name__}.Alarm", {"seconds": self.seconds, "answer": self.answer, "told": str(self.told)}

    async def run(self):
        self.tell(f"try {self.task_instance.try_number}")
        await asyncio.sleep(self.seconds)
        if self.answer == "break":
            raise ValueError("broken spring")
        yield TriggerEvent({"answer": self.answer})

    async def on_kill(self):
        self.tell("killed")

    async def cleanup(self):
        self.tell("cleaned")

    def tell(self, what: str) -> None:
        with self.told.open("a") as out:
            print(what, file=out)


class Sleeper(BaseOperator):
    def __init__(self, *, told: Path, answer: str = "awake", seconds: float = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.told, self.answer, self.seconds = told, answer, seconds

    def execute(self, context):
        context["ti"].xcom_push(key="bed", value="soft")
        context["task_state_store"].set("nights", context["ti"].try_number)
        self.log.info("good night")
        self.defer(
            trigger=Alarm(self.seconds, self.answer, str(self.told)),
            method_name="wake",
            kwargs={"dream": ("a", "b")},
        )

    def wake(self, context, event, dream):
        return {**event, "dream": dream, "nights": context["task_state_store"].get("nights")}


@pytest.fixture
def db():
    return Installation()


@pytest.fixture
def told(tmp_path):
    return tmp_path / "told"


def in_dag(**kwargs):
    with DAG("sleep", schedule=None):
        return Sleeper(task_id="sleeper", **kwargs)


def test_a_plain_task_succeeds_with_its_value(db):
    with DAG("plain", schedule=None) as dag:

        @task
        def double(x):
            return 2 * x

        double(21)

    result = run(dag.get_task("double"), db)

    assert (result.state, result.value, result.error) == ("success", 42, None)


def test_a_failure_with_retries_left_is_tried_again(db):
    with DAG("plain", schedule=None) as dag:

        @task(retries=1)
        def fail_once(ti=None):
            if ti.try_number == 1:
                raise ValueError("first")
            return ti.try_number

        fail_once()

    first = run(dag.get_task("fail_once"), db)
    db.retry(first.key)
    second = run(dag.get_task("fail_once"), db)

    assert (first.state, str(first.error)) == ("up_for_retry", "first")
    assert (second.state, second.value) == ("success", 2)


def test_mapped_tasks_have_values_of_their_own_and_are_read_in_order(db):
    with DAG("mapped", schedule=None) as dag:

        @task
        def square(x):
            return x * x

        @task
        def total(values):
            return [len(values), sum(values), list(values)]

        total(square.expand(x=[1, 2, 3]))

    for index in (2, 0, 1):
        run(dag.get_task("square"), db, map_index=index)

    assert run(dag.get_task("total"), db).value == [3, 14, [1, 4, 9]]


def test_connections_and_variables_come_from_the_installation(db):
    db.connections["shop"] = {"conn_type": "generic", "host": "example.org"}
    db.variables["greeting"] = "hello"
    with DAG("plain", schedule=None) as dag:

        @task
        def look(var=None, conn=None):
            return [conn.shop.host, var["value"].greeting]

        look()

    assert run(dag.get_task("look"), db).value == ["example.org", "hello"]


def test_a_deferral_travels_serialized_and_keeps_its_kwargs(db, told):
    result = run(in_dag(told=told), db)

    assert result.state == "success"
    assert result.value == {"answer": "awake", "dream": ("a", "b"), "nights": 1}
    assert result.events == [{"answer": "awake"}]
    assert [one["next_method"] for one in result.deferrals] == ["wake"]
    assert "good night" in result.log
    assert told.read_text().split("\n") == ["try 1", "cleaned", ""]


def test_a_trigger_that_raises_fails_the_task(db, told):
    result = run(in_dag(told=told, answer="break"), db)

    assert result.state == "failed"
    assert "broken spring" in "\n".join(result.log)


def test_a_deferral_that_expires_fails_in_the_worker(db, told):
    sleeper = in_dag(told=told)
    key = TaskKey("sleep", "sleeper", "run_1")
    db.queue(key)
    work(sleeper, db, key)
    expire(db, key)

    assert isinstance(run(sleeper, db).error, TaskDeferralTimeout)


def test_xcoms_go_at_a_fresh_start_and_stay_on_a_resume(db, told):
    sleeper = in_dag(told=told, answer="break", retries=1)
    first = run(sleeper, db)
    assert first.xcoms == {"bed": "soft"}
    db.push(first.key, "old", 1)

    db.retry(first.key)

    assert set(run(sleeper, db).xcoms) == {"bed"}


def test_the_state_store_survives_retry_and_clear(db, told):
    sleeper = in_dag(told=told)
    key = run(sleeper, db).key
    db.clear(key)

    assert db.store[key] == {"nights": 1}
    assert run(sleeper, db).value["nights"] == 2


def test_a_clear_raises_max_tries_unless_the_task_runs(db, told):
    key = run(in_dag(told=told), db).key
    db.clear(key, retries=2)
    row = db.rows[key]
    assert (row.state, row.try_number, row.max_tries, db.clear_numbers) == ("queued", 2, 3, {"run_1": 1})

    row.state = "running"
    db.clear(key, retries=2)
    assert (row.state, row.try_number, row.max_tries, db.clear_numbers) == ("restarting", 2, 3, {"run_1": 2})


@pytest.fixture
def deferred(db, told):
    key = TaskKey("sleep", "sleeper", "run_1")
    db.queue(key)
    work(in_dag(told=told, seconds=60), db, key)
    return key


@pytest.mark.parametrize("act", ["mark", "clear"])
def test_a_users_action_kills_the_trigger(db, told, deferred, act):
    def meanwhile():
        if told.exists() and db.rows[deferred].state == "deferred":
            db.mark(deferred, "failed") if act == "mark" else db.clear(deferred)

    assert watch(db, deferred, meanwhile=meanwhile) is None
    assert told.read_text().split("\n") == ["try 1", "killed", "cleaned", ""]
    assert db.rows[deferred].state == ("failed" if act == "mark" else "queued")


def test_a_shutdown_of_the_triggerer_kills_nothing(db, told, deferred):
    def meanwhile():
        if told.exists():
            raise Shutdown

    assert watch(db, deferred, meanwhile=meanwhile) is None
    assert told.read_text().split("\n") == ["try 1", "cleaned", ""]
    assert db.rows[deferred].state == "deferred"


def test_an_installation_survives_on_disk(tmp_path, told):
    db = Installation(path=tmp_path / "airflow.json")
    run(in_dag(told=told), db)

    again = Installation.load(tmp_path / "airflow.json")

    assert again.rows == db.rows
    assert again.xcoms == db.xcoms
    assert again.store == db.store
