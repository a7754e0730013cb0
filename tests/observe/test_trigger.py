"""The trigger watches one job, survives every change of triggerer, and fires once."""

from __future__ import annotations

import inspect
import json
import time

import pytest
from airflow.sdk.exceptions import TaskDeferralError
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from execution_api import ExecutionApi
from project import until
from tasks import Shutdown

from airflow_provider_kinetic.lifecycle.observe import Outcome
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.status import JobState
from airflow_provider_kinetic.triggers.job import KineticJobTrigger

# As it is stored.


def test_every_argument_survives_the_database():
    given = {
        "job": {"job_id": "job-1", "stop_grace": 7.5, "map_index": 3},
        "kinetic_conn_id": "elsewhere",
        "poll": 1.5,
        "fire_after": 12345.5,
        "timeout": [60.0, 12345.5],
        "cancel_on_kill": False,
        "lines_per_second": 7.0,
        "log_requests_per_second": 3.0,
        "calm_heap_at": 7,
        "create": "gs://bucket/job-1/manifest.json",
        "build": {"tag": "cpu-1", "uri": "i", "id": "b", "number": 2, "started_by_us": True},
    }
    parameters = inspect.signature(KineticJobTrigger).parameters
    assert set(given) == set(parameters), "every argument is named here"
    assert not any(given[name] == parameter.default for name, parameter in parameters.items())

    path, kwargs = KineticJobTrigger(**given).serialize()
    stored = json.loads(json.dumps(serialize(kwargs)))
    again = import_string(path)(**deserialize(stored))

    assert type(again) is KineticJobTrigger
    assert {name: getattr(again, name) for name in given} == given


def test_what_is_stored_of_a_deferral_holds_no_secret(defer):
    deferred = defer(secrets={"API_KEY": "hunter2"}, env_vars={"DB_PASSWORD": "swordfish"})

    stored = json.dumps(deferred.row.trigger)

    assert deferred.handle.job_id in stored
    assert "hunter2" not in stored
    assert "swordfish" not in stored


def test_what_a_job_prints_of_its_secrets_is_masked_where_nobody_knows_them(defer):
    source = "def f():\n    at_the_gate('{gate}')\n    print('to', os.environ['DATABASE'])"
    deferred = defer(source, secrets={"DATABASE": "postgres://me:pw@host"})
    deferred.shop.open_gate()

    _, log = deferred.watch()

    shown = "\n".join(log)
    assert "to ***" in shown
    assert "pw@host" not in shown


# The event.


@pytest.mark.parametrize(("body", "state"), [("return 42", "SUCCEEDED"), ("raise ValueError('broken')", "FAILED")])
def test_it_fires_when_the_job_is_over(defer, body, state):
    deferred = defer(f"def f():\n    at_the_gate('{{gate}}')\n    {body}")
    deferred.shop.open_gate()

    payload, log = deferred.watch()

    outcome = Outcome.from_dict(payload)
    assert (outcome.status.state.value, outcome.timeout) == (state, "")
    assert set(outcome.status.objects["result.pkl"]) >= {"sha256", "size"}
    assert len(json.dumps(payload)) < 2048
    assert f"Job {deferred.handle.job_id}: {state.lower()}" in "\n".join(log)


def test_a_job_that_is_over_is_never_deferred_on(shop):
    shop.job("def f(): return 42", deferrable=True, cleanup="never")
    first = shop.run()

    assert shop.again(first).deferrals == []


def test_it_does_not_fire_before_the_scheduler_has_settled_the_first_leg(defer, monkeypatch):
    monkeypatch.setenv("AIRFLOW__KINETIC__MIN_DWELL", "1.5")
    before = time.time()
    deferred = defer()
    deferred.shop.open_gate()

    deferred.watch()

    assert time.time() >= before + 1.5


# The log.


def test_a_new_triggerer_goes_on_where_the_last_one_stopped(defer):
    deferred = defer()
    deferred.print("one\n", "two\n")

    _, first = deferred.watch(_stop_after(deferred, 2))
    deferred.print("one\n", "two\n", "three\n")
    deferred.shop.open_gate()
    _, second = deferred.watch()
    resumed = deferred.resume().log

    assert [line for line in first if line in ("one", "two", "three")] == ["one", "two"]
    assert [line for line in second + resumed if line in ("one", "two", "three")] == ["three"]


def test_a_triggerer_that_cannot_remember_repeats_what_it_showed(defer):
    deferred = defer(poll_interval=0.1)
    deferred.print("one\n")
    log: list[str] = []

    def before(name):
        if name == "POST xcom kinetic_log_cursor":
            tried.append(name)
            raise ConnectionError("the API server is away")

    def a_while_later():
        if tried:
            raise Shutdown

    tried: list[str] = []
    _, first = deferred.watch(a_while_later, ExecutionApi(deferred.shop.db, before=before))
    deferred.shop.open_gate()
    _, second = deferred.watch()
    log = first + second + deferred.resume().log

    assert first.count("one") == 1
    assert log.count("one") == 2


def test_what_was_shown_is_remembered_seldom_and_when_the_triggerer_ends(defer):
    deferred = defer(poll_interval=0.05)
    texts = [f"line {number}\n" for number in range(6)]

    def more():
        cursor = (deferred.shop.db.xcom(deferred.row.key, "kinetic_log_cursor") or {}).get("cursor")
        if cursor and len(printed) < len(texts):
            printed.append(texts[len(printed)])
            deferred.print(*printed)
        elif len(printed) == len(texts):
            ticks.append("tick")
        if len(ticks) == 10:
            raise Shutdown

    printed, ticks = texts[:1], []
    deferred.print(*printed)
    _, first = deferred.watch(more)
    deferred.shop.open_gate()
    _, second = deferred.watch()
    shown = [line for line in first + second + deferred.resume().log if line.startswith("line ")]

    writes = [call for call in deferred.shop.db.calls if call == "POST xcom kinetic_log_cursor"]
    assert 2 <= len(writes) <= 4
    assert shown == [text.strip() for text in texts]


def test_the_worker_goes_on_where_the_trigger_stopped(defer):
    deferred = defer("def f():\n    at_the_gate('{gate}')\n    print('last words')\n    return 42")
    deferred.shop.open_gate()
    _, shown = deferred.watch()

    result = deferred.resume()

    assert (shown + result.log).count("last words") == 1
    assert result.value == 42


def _stop_after(deferred, chunks):
    def meanwhile():
        cursor = deferred.shop.db.xcom(deferred.row.key, "kinetic_log_cursor") or {}
        if cursor.get("cursor", "") >= f"0001-{chunks:08d}.log":
            raise Shutdown

    return meanwhile


# A trigger that breaks.


@pytest.mark.parametrize(
    ("options", "left"),
    [({"retries": 0}, False), ({"retries": 1}, True), ({"retries": 0, "cancel_on_kill": False}, True)],
    ids=["last try", "another try follows the job", "job of somebody else"],
)
def test_a_trigger_that_breaks_does_not_leave_its_job_behind(defer, options, left):
    deferred = defer(**options)

    def broken(_):
        raise ConfigurationError("The connection was deleted.")

    with pytest.MonkeyPatch.context() as patch:
        from airflow_provider_kinetic.hooks import platforms

        patch.setitem(platforms.PLATFORMS, "local", broken)
        deferred.watch()
    result = deferred.resume()

    assert isinstance(result.error, TaskDeferralError)
    assert "The connection was deleted." in "\n".join(result.log)
    if left:
        assert deferred.left_alone
    else:
        until(lambda: deferred.state is JobState.NOT_FOUND)
