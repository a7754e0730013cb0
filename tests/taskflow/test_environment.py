"""The variables of a job reach the job, and the secret ones nobody else."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import httpx
import pytest
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.log import redact
from airflow.serialization.serialized_objects import DagSerialization
from execution_api import ExecutionApi
from installation import TaskKey
from tasks import watch, work

SECRETS = {
    "AWS_ACCESS_KEY_ID": "key-id-8451",
    "DATABASE": "postgres://me:pw-2210@db",
    "HF_TOKEN": "hf-token-77",
    "PGPASSWORD": "pg-password-3",
}
PLAIN = {"BUILD_NUMBER": "1234567", "COLOUR": "blue"}


class Listening(ExecutionApi):
    """Keeps everything that workers and triggerers say to Airflow."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        said = self.__dict__.setdefault("said", [])
        said.append((str(request.url), request.content))
        return super().__call__(request)


@pytest.fixture(autouse=True)
def _masks():
    yield
    reset_secrets_masker()


@pytest.fixture
def dag(project, airflow, monkeypatch):
    for name in ("PGPASSWORD", "BUILD_NUMBER"):
        monkeypatch.setenv(name, {**SECRETS, **PLAIN}[name])
    monkeypatch.setenv("UNRELATED", "stays here")
    variables = {"hf_token": "HF_TOKEN", "database": "DATABASE", "key_id": "AWS_ACCESS_KEY_ID"}
    airflow.db.variables.update({name: SECRETS[variable] for name, variable in variables.items()})
    return project.dag("environment")


def listen(airflow, task, index=-1):
    """Run it; what it told Airflow, as (address, body) pairs."""
    key, api = TaskKey(task.dag_id, task.task_id, "run_1", index), Listening(airflow.db)
    airflow.db.queue(key)
    while work(task, airflow.db, key, api=api) and airflow.db.rows[key].trigger:
        watch(airflow.db, key, api=api)
    assert airflow.db.rows[key].state == "success"
    return api.said


@pytest.fixture(params=["digests", "deferred"])
def told(request, dag, airflow):
    """What a task told Airflow whose job saw all of its variables."""
    said = listen(airflow, dag.get_task(request.param))
    assert airflow.db.xcom(TaskKey("environment", request.param, "run_1")) == {
        name: hashlib.md5(value.encode()).hexdigest() for name, value in {**SECRETS, **PLAIN}.items()
    }
    return said


def rendered(told):
    """The template fields, as often as they were stored for the UI."""
    fields = [json.loads(body) for address, body in told if address.endswith("/rtif")]
    assert fields
    return fields


def holding(content: bytes) -> list[str]:
    return [name for name, value in SECRETS.items() if value.encode() in content]


def contents(file: Path) -> bytes:
    """The bytes of a file; of an archive those of its members."""
    if not zipfile.is_zipfile(file):
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def test_secrets_reach_the_job_and_nothing_that_others_can_read(told, airflow):
    assert [address for address, body in told if holding(body)] == []

    files = [file for file in airflow.folder.rglob("*") if file.is_file()]
    assert {"payload.pkl", "context.zip", "handle.json"} <= {file.name for file in files}
    with_secrets = [file for file in files if holding(contents(file))]
    assert [file for file in with_secrets if file.stat().st_mode & 0o077] == []
    assert [file for file in with_secrets if file.is_relative_to(airflow.folder / "jobs")] == []


def test_rendered_fields_show_plain_variables_and_mask_the_others(told):
    for fields in rendered(told):
        assert fields["env_vars"] == {"COLOUR": "blue", "AWS_ACCESS_KEY_ID": "***"}
        assert "secrets" not in fields


def test_logs_mask_what_is_secret(told):
    assert told
    for value in SECRETS.values():
        assert redact(f"the job printed {value}") == "the job printed ***"
    assert redact("the job printed blue") == "the job printed blue"


def test_a_dag_in_the_database_holds_templates_only(dag):
    stored = json.dumps(DagSerialization.to_dict(dag))

    assert holding(stored.encode()) == []


def test_mapped_tasks_mask_theirs_as_well(dag, airflow):
    told = listen(airflow, dag.get_task("mapped"), 1)

    assert airflow.db.xcom(TaskKey("environment", "mapped", "run_1", 1)) == [1, "7"]
    assert [fields["env_vars"]["AWS_ACCESS_KEY_ID"] for fields in rendered(told)] == ["***"]
    assert [address for address, body in told if holding(body)] == []
