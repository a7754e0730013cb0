"""The Execution API of Airflow 3.3, over an :class:`Installation` instead of a database.

One function a route, with the answers that ``airflow.api_fastapi.execution_api`` gives: the real client, supervisor and
task runner stand on it and notice no difference. A request for a route that is not here raises, so that a new
call of a new Airflow shows up as such and not as a strange answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
from installation import Installation, TaskRow, XComKey


@dataclass(frozen=True)
class Call:
    """One request: ``call["key"]`` is a part of its path."""

    db: Installation
    request: httpx.Request
    parts: dict[str, str]

    def __getitem__(self, part: str) -> str:
        return self.parts[part]

    @property
    def body(self) -> Any:
        return json.loads(self.request.content)

    @property
    def params(self) -> httpx.QueryParams:
        return self.request.url.params

    @property
    def row(self) -> TaskRow | None:
        return self.db.by_id(self["ti_id"])

    @property
    def xcom_key(self) -> XComKey:
        return XComKey(
            self["dag_id"], self["run_id"], self["task_id"], int(self.params.get("map_index", -1)), self["key"]
        )


Handler = Callable[[Call], httpx.Response]
Crossing = Callable[[str], None]
"""Called with the name of a request."""

OK = httpx.codes.OK
NO_CONTENT = httpx.codes.NO_CONTENT
_ROUTES: list[tuple[str, re.Pattern[str], str, Handler]] = []


def nothing(name: str) -> None:
    """Let everything pass."""


class ExecutionApi:
    """An ``httpx.MockTransport`` handler.

    ``before`` is called when a request arrives, ``after`` when it has been committed and nobody has heard of it yet.
    """

    def __init__(self, installation: Installation, *, before: Crossing = nothing, after: Crossing = nothing) -> None:
        self.installation = installation
        self.before = before
        self.after = after

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name, handler, parts = _match(request)
        self.installation.calls.append(name)
        self.before(name)
        with self.installation.transaction() as db:
            answer = handler(Call(db, request, parts))
        self.after(name)
        return answer


def _match(request: httpx.Request) -> tuple[str, Handler, dict[str, str]]:
    path = request.url.raw_path.decode().partition("?")[0].strip("/")
    for method, pattern, name, handler in _ROUTES:
        found = pattern.fullmatch(path) if request.method == method else None
        if found is not None:
            parts = {key: unquote(value) for key, value in found.groupdict().items()}
            state = json.loads(request.content)["state"] if "{state}" in name else ""
            return name.format(**parts, state=state), handler, parts
    raise AssertionError(f"The Execution API of the tests has no {request.method} {path}")


def route(method: str, pattern: str, name: str) -> Callable[[Handler], Handler]:
    """Answer requests of this method and path; earlier routes win. ``name`` is what people read."""

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern), name, handler))
        return handler

    return register


# Task instances.


TASK = r"task-instances/(?P<ti_id>[^/]+)"
RUN = r"dag-runs/(?P<dag_id>[^/]+)/(?P<run_id>[^/]+)"
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
STORE = r"store/ti/(?P<ti_id>[^/]+)"
XCOM = r"xcoms/(?P<dag_id>[^/]+)/(?P<run_id>[^/]+)/(?P<task_id>[^/]+)/(?P<key>.+?)"


@route("PATCH", TASK + r"/run", "PATCH run")
def start(call: Call) -> httpx.Response:
    row = call.row
    if row is None:
        return _missing("task instance", call["ti_id"])
    if row.state != "queued":
        detail = {"reason": "invalid_state", "message": "cannot run", "previous_state": row.state}
        return httpx.Response(httpx.codes.CONFLICT, json={"detail": detail})
    row.state = "running"
    if not row.next_kwargs:
        row.start_date = call.body["start_date"]
    return httpx.Response(OK, json=_run_context(call.db, row))


def _run_context(db: Installation, row: TaskRow) -> dict[str, Any]:
    context: dict[str, Any] = {
        "dag_run": _dag_run(db, row.key.dag_id, row.key.run_id),
        "task_reschedule_count": 0,
        "max_tries": row.max_tries,
        "should_retry": row.should_retry,
        "variables": [],
        "connections": [],
        "xcom_keys_to_clear": [],
    }
    if row.next_method:
        resumed = {"next_method": row.next_method, "next_kwargs": row.next_kwargs, "start_date": row.start_date}
        return context | resumed
    return context | {"xcom_keys_to_clear": sorted(db.xcom_names(row.key))}


@route("PATCH", TASK + r"/state", "PATCH state {state}")
def state(call: Call) -> httpx.Response:
    row, body = call.row, call.body
    if row is None:
        return _missing("task instance", call["ti_id"])
    if row.state == body["state"]:
        return httpx.Response(OK)
    if row.state != "running":
        detail = {"reason": "invalid_state", "message": "not running", "previous_state": row.state}
        return httpx.Response(httpx.codes.CONFLICT, json={"detail": detail})
    row.state = body["state"]
    if row.state == "deferred":
        row.trigger, row.next_method, row.next_kwargs = body, body["next_method"], body["next_kwargs"]
    else:
        row.ending = body
        row.forget_deferral()
    return httpx.Response(NO_CONTENT)


@route("PUT", TASK + r"/heartbeat", "PUT heartbeat")
@route("PUT", TASK + r"/rtif", "PUT rendered-fields")
@route("PATCH", TASK + r"/rendered-map-index", "PATCH rendered-map-index")
@route("PATCH", TASK + r"/skip-downstream", "PATCH skip-downstream")
def accept(_: Call) -> httpx.Response:
    return httpx.Response(NO_CONTENT)


@route("GET", TASK + r"/validate-inlets-and-outlets", "GET assets")
def assets(_: Call) -> httpx.Response:
    return httpx.Response(OK, json={"inactive_assets": []})


def _matching(call: Call) -> list[TaskRow]:
    wanted = {name: set(call.params.get_list(name)) for name in ("task_ids", "run_ids", "states")}
    index = int(call.params["map_index"]) if "map_index" in call.params else None
    return [
        row
        for row in call.db.rows.values()
        if row.key.dag_id == call.params["dag_id"]
        and (not wanted["task_ids"] or row.key.task_id in wanted["task_ids"])
        and (not wanted["run_ids"] or row.key.run_id in wanted["run_ids"])
        and (not wanted["states"] or row.state in wanted["states"])
        and (index is None or row.key.map_index == index)
    ]


@route("GET", r"task-instances/count", "GET count")
def count(call: Call) -> httpx.Response:
    return httpx.Response(OK, json=len(_matching(call)))


@route("GET", r"task-instances/states", "GET states")
def states(call: Call) -> httpx.Response:
    runs: dict[str, dict[str, str | None]] = {}
    for row in _matching(call):
        _, task_id, run_id, index = row.key
        runs.setdefault(run_id, {})[task_id if index < 0 else f"{task_id}_{index}"] = row.state
    return httpx.Response(OK, json={"task_states": runs})


@route("GET", r"task-instances/breadcrumbs", "GET breadcrumbs")
def breadcrumbs(call: Call) -> httpx.Response:
    """Of the task instances that have ended."""
    found = [
        {"task_id": row.key.task_id, "map_index": row.key.map_index, "state": row.state, "operator": row.operator}
        for row in call.db.rows.values()
        if (row.key.dag_id, row.key.run_id) == (call.params["dag_id"], call.params["run_id"]) and row.state in ENDED
    ]
    return httpx.Response(OK, json={"breadcrumbs": [{**each, "duration": 1.0} for each in found]})


# Runs, connections, variables.


def _dag_run(db: Installation, dag_id: str, run_id: str) -> dict[str, Any]:
    dates = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date")
    return {
        **dict.fromkeys(dates, datetime(2026, 1, 1, tzinfo=UTC).isoformat()),
        "dag_id": dag_id,
        "run_id": run_id,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": db.confs.get(run_id, {}),
        "consumed_asset_events": [],
        "clear_number": db.clear_numbers.get(run_id, 0),
        "partition_key": None,
    }


@route("GET", RUN, "GET run")
def run(call: Call) -> httpx.Response:
    return httpx.Response(OK, json=_dag_run(call.db, call["dag_id"], call["run_id"]))


@route("GET", RUN + r"/state", "GET run-state")
def run_state(_: Call) -> httpx.Response:
    return httpx.Response(OK, json={"state": "running"})


@route("GET", r"connections/(?P<conn_id>[^/]+)", "GET connection {conn_id}")
def connection(call: Call) -> httpx.Response:
    if call["conn_id"] not in call.db.connections:
        return _missing("connection", call["conn_id"])
    unset = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
    return httpx.Response(OK, json={**unset, "conn_id": call["conn_id"], **call.db.connections[call["conn_id"]]})


@route("GET", r"variables/(?P<key>[^/]+)", "GET variable {key}")
def variable(call: Call) -> httpx.Response:
    if call["key"] not in call.db.variables:
        return _missing("variable", call["key"])
    return httpx.Response(OK, json={"key": call["key"], "value": call.db.variables[call["key"]]})


@route("PUT", r"variables/(?P<key>[^/]+)", "PUT variable {key}")
def set_variable(call: Call) -> httpx.Response:
    call.db.variables[call["key"]] = call.body["val"]
    return httpx.Response(httpx.codes.CREATED, json={"message": "set"})


# The task state store.


def _scope(call: Call) -> dict[str, Any]:
    assert call.row is not None, "the state store was asked for an unknown task instance"
    return call.db.store.setdefault(call.row.key, {})


@route("GET", STORE + r"/(?P<key>.+)", "GET state-store {key}")
def stored(call: Call) -> httpx.Response:
    scope = _scope(call)
    return (
        httpx.Response(OK, json={"value": scope[call["key"]]})
        if call["key"] in scope
        else _missing("state", call["key"])
    )


@route("PUT", STORE + r"/(?P<key>.+)", "PUT state-store {key}")
def store(call: Call) -> httpx.Response:
    _scope(call)[call["key"]] = call.body["value"]
    return httpx.Response(NO_CONTENT)


@route("DELETE", STORE + r"/(?P<key>.+)", "DELETE state-store {key}")
def unstore(call: Call) -> httpx.Response:
    _scope(call).pop(call["key"], None)
    return httpx.Response(NO_CONTENT)


@route("DELETE", STORE, "DELETE state-store")
def unstore_all(call: Call) -> httpx.Response:
    _scope(call).clear()
    return httpx.Response(NO_CONTENT)


# XComs.


def _values(call: Call) -> list[Any]:
    """The values of all map indexes, in their order."""
    wanted = (call["dag_id"], call["run_id"], call["task_id"], call["key"])
    found = [key for key in call.db.xcoms if (key.dag_id, key.run_id, key.task_id, key.key) == wanted]
    return [call.db.xcoms[key] for key in sorted(found)]


@route("POST", XCOM, "POST xcom {key}")
def set_xcom(call: Call) -> httpx.Response:
    call.db.xcoms[call.xcom_key] = call.body
    return httpx.Response(httpx.codes.CREATED, json={"message": "set"})


@route("DELETE", XCOM, "DELETE xcom {key}")
def delete_xcom(call: Call) -> httpx.Response:
    call.db.xcoms.pop(call.xcom_key, None)
    return httpx.Response(OK, json={"message": "deleted"})


@route("HEAD", XCOM, "HEAD xcom {key}")
def xcom_count(call: Call) -> httpx.Response:
    return httpx.Response(OK, headers={"Content-Range": f"map_indexes {len(_values(call))}"})


@route("GET", XCOM + r"/item/(?P<offset>-?\d+)", "GET xcom {key}[{offset}]")
def xcom_item(call: Call) -> httpx.Response:
    try:
        return httpx.Response(OK, json=_values(call)[int(call["offset"])])
    except IndexError:
        return _missing("XCom", call["key"])


@route("GET", XCOM + r"/slice", "GET xcom {key}[:]")
def xcom_slice(call: Call) -> httpx.Response:
    start, stop, step = (int(call.params[n]) if n in call.params else None for n in ("start", "stop", "step"))
    return httpx.Response(OK, json=_values(call)[start:stop:step])


@route("GET", XCOM, "GET xcom {key}")
def xcom(call: Call) -> httpx.Response:
    at = call.xcom_key
    if at not in call.db.xcoms:
        return _missing("XCom", call["key"])
    return httpx.Response(OK, json={"key": call["key"], "value": call.db.xcoms[at]})


def _missing(what: str, name: str) -> httpx.Response:
    detail = {"reason": "not_found", "message": f"{what} {name} not found"}
    return httpx.Response(httpx.codes.NOT_FOUND, json={"detail": detail})
