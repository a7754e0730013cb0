"""The few calls of Airflow's public REST API that the demo and the live tests make.

Only what a script of a user could do as well: nothing in here reads Airflow's database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

FINISHED = {"success", "failed"}


class Api:
    """A signed-in client of one Airflow. Every method raises ``httpx.HTTPStatusError`` when Airflow refuses."""

    def __init__(self, url: str, username: str, password: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False)
        self._credentials = {"username": username, "password": password}

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, str]:
        """Status of each component, ``{"scheduler": "healthy", …}``; empty while nobody answers."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return {}
        if answer.status_code != httpx.codes.OK:
            return {}
        return {name: part.get("status") or "starting" for name, part in answer.json().items()}

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """The JSON answer of ``/api/v2/{path}``; None where it has no body.

        Asked again while Airflow answers 500. On SQLite its API server can lock itself out until the database gives up:
        a request that waits for the write lock in the event loop keeps the one that holds it from finishing.
        """
        patient = Retrying(
            retry=retry_if_exception(_locked_out), stop=stop_after_attempt(6), wait=wait_random(0.2, 2), reraise=True
        )
        return patient(self._call, method, path, **kwargs)

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        if "authorization" not in self._http.headers:
            answer = self._http.post("/auth/token", json=self._credentials).raise_for_status()
            self._http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        answer = self._http.request(method, f"/api/v2/{path}", **kwargs).raise_for_status()
        return answer.json() if answer.content else None

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG file has been parsed.

        :raises ImportError: it could not be.
        """
        errors = self.call("GET", "importErrors")["import_errors"]
        if errors:
            raise ImportError("\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors))
        dags = self.call("GET", "dags", params={"dag_id_pattern": dag_id})["dags"]
        return any(dag["dag_id"] == dag_id for dag in dags)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause the DAG and start a run; its run id."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": False})
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": dict(conf or {})}
        run_id: str = self.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        state: str = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances, mapped ones each by themselves: ``task_id``, ``map_index``, ``state``, ``try_number``, …"""
        found: list[dict[str, Any]] = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")[
            "task_instances"
        ]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value, or None where nothing was pushed under that key."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.call("GET", path, params={"map_index": map_index, "deserialize": True})["value"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        """Lines of the task log as the UI shows them."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return [_line(entry) for entry in content]


def _locked_out(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.INTERNAL_SERVER_ERROR


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    text = str(entry.get("event", ""))
    detail = entry.get("error_detail")
    return f"{text}\n{json.dumps(detail, indent=1)}" if detail else text
