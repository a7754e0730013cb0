"""The Test of a connection: which check failed, and what to do."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_kinetic.hooks.checks import check_target, summary
from airflow_provider_kinetic.hooks.connection import target_of
from airflow_provider_kinetic.hooks.platforms import PLATFORMS, open_ports
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.target import Target

ORDER = ["settings", "store", "outputs", "cluster", "accelerators", "environments"]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    extra = {"platform": "local", "bucket": str(tmp_path / "kinetic"), "emulate_accelerators": True}
    return target_of(extra, kinetic_conn_id="k", environ={}, airflow_home=tmp_path)


def test_all_is_well_on_a_fresh_machine(target: Target, tmp_path: Path) -> None:
    checks = check_target(open_ports(target), target)
    assert [check.name for check in checks] == ORDER
    ok, text = summary(checks)
    assert ok, text
    assert "emulated" in text
    assert list(tmp_path.rglob("*check*")) == []


def test_a_store_that_cannot_be_written_is_named_with_advice(target: Target, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    broken = replace(target, store_root=f"{(tmp_path / 'a file').as_uri()}/jobs")
    checks = check_target(open_ports(target), broken)
    assert [check.name for check in checks if not check.ok] == ["store"]
    ok, text = summary(checks)
    assert not ok
    assert text.startswith("store failed: ")
    assert "Passed: settings, outputs, cluster, accelerators, environments." in text
    assert next(check for check in checks if not check.ok).advice


def test_a_bad_option_is_named(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__KINETIC__MIN_DWELL", "a while")
    ok, text = summary(check_target(open_ports(target), target))
    assert not ok
    assert "settings failed: " in text
    assert "`min_dwell`" in text


def test_no_installer_at_all(target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", {"scripts": str(tmp_path)}.__getitem__)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    checks = {check.name: check for check in check_target(open_ports(target), target)}
    assert not checks["environments"].ok
    assert "pip install uv" in checks["environments"].advice


def test_a_platform_can_be_wrapped(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Target] = []
    usual = PLATFORMS["local"]

    def counting(target: Target) -> Ports:
        opened.append(target)
        return usual(target)

    monkeypatch.setitem(PLATFORMS, "local", counting)
    assert open_ports(target).store.scheme == "file"
    assert opened == [target]


def test_a_platform_that_nobody_registered(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PLATFORMS, "local")
    with pytest.raises(ConfigurationError, match="'local'") as caught:
        open_ports(target)
    assert "gke, kubernetes" in caught.value.advice
