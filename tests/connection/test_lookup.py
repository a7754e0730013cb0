"""Connections as Airflow stores them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_kinetic.hooks.connection import get_connection, resolve_target, target_of
from airflow_provider_kinetic.model.errors import ConnectionError_


def test_missing_connection_shows_how_to_make_one() -> None:
    with pytest.raises(ConnectionError_) as caught:
        get_connection("kinetic_absent")
    command = "airflow connections add kinetic_absent --conn-type kinetic --conn-extra"
    assert command in caught.value.advice
    assert "Admin > Connections" in caught.value.advice


def test_the_variable_in_the_advice_makes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError_) as caught:
        get_connection("kinetic_absent")
    line = next(line for line in caught.value.advice.splitlines() if "export" in line)
    name, _, value = line.strip().removeprefix("export ").partition("=")
    monkeypatch.setenv(name, value.strip("'"))
    target = resolve_target("kinetic_absent", {"namespace": "team"})
    assert (target.platform, target.emulate_accelerators, target.namespace) == ("local", True, "team")
    assert target.installation


def test_another_type_is_an_error_that_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PG", "postgres://user:topsecret@host/db")
    with pytest.raises(ConnectionError_, match="postgres") as caught:
        get_connection("pg")
    assert "topsecret" not in str(caught.value)


def test_a_connection_given_as_uri(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_K", f"kinetic://?platform=local&max_parallel=2&bucket={tmp_path}")
    target = target_of(get_connection("k"), kinetic_conn_id="k", environ={}, airflow_home=tmp_path)
    assert target.max_parallel == 2
    assert target.store_root == f"{tmp_path.as_uri()}/jobs"


def test_importing_it_stays_light() -> None:
    code = (
        "import sys, json; before = set(sys.modules);"
        "import airflow_provider_kinetic.hooks.connection, airflow_provider_kinetic.hooks.settings,"
        "airflow_provider_kinetic.hooks.installation, airflow_provider_kinetic.hooks.platforms,"
        "airflow_provider_kinetic.hooks.checks;"
        "print(json.dumps(sorted({m.partition('.')[0] for m in set(sys.modules) - before})))"
    )
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", code])))
    assert loaded.isdisjoint({"airflow", "google", "kubernetes", "kubernetes_asyncio", "grpc", "cloudpickle"})
