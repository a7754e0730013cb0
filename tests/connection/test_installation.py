"""The id that keeps clean-up away from the jobs of other installations."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_kinetic.hooks.installation import airflow_home, identify, installation_id
from airflow_provider_kinetic.model.errors import ConfigurationError

Options = dict[tuple[str, str], str]
KEY = ("core", "fernet_key")
URL = ("api", "base_url")
EXECUTION = ("core", "execution_api_server_url")


def ident(options: Options, *, home: str = "/opt/airflow", machine: str = "a") -> str:
    return identify(lambda section, name: options.get((section, name)), home=Path(home), machine=machine)


def test_components_on_several_machines_agree_when_a_url_joins_them() -> None:
    options = {KEY: "k", EXECUTION: "http://airflow-api:8080/execution/"}
    assert ident(options, machine="worker") == ident(options, machine="triggerer")


def test_one_machine_keeps_its_id_when_the_port_changes() -> None:
    assert ident({KEY: "k", URL: "http://127.0.0.1:8080"}) == ident({KEY: "k", URL: "http://localhost:40123"})
    assert ident({KEY: "k", URL: "http://[::1]:1"}) == ident({KEY: "k"})


@pytest.mark.parametrize(
    "other",
    [
        ident({KEY: "k2"}),
        ident({KEY: "k"}, home="/home/me/airflow"),
        ident({KEY: "k"}, machine="b"),
        ident({KEY: "k", URL: "https://airflow.example.com/team"}),
        ident({KEY: "k", URL: "https://airflow.example.com/other"}),
    ],
)
def test_installations_differ(other: str) -> None:
    assert other != ident({KEY: "k"})
    assert len(other) == 12


def test_rotating_the_key_keeps_the_id() -> None:
    assert ident({KEY: "new,old"}) == ident({KEY: "old"})


def test_the_placeholder_of_an_unset_key_is_no_key() -> None:
    assert ident({KEY: "{FERNET_KEY}"}) == ident({})


def test_a_configured_id_wins() -> None:
    assert ident({("kinetic", "installation_id"): "prod-eu", KEY: "k"}) == "prod-eu"


@pytest.mark.parametrize("bad", ["with space", "-x", "x-", "x" * 64, "ü"])
def test_a_configured_id_must_be_a_label(bad: str) -> None:
    with pytest.raises(ConfigurationError, match="installation_id"):
        ident({("kinetic", "installation_id"): bad})


def test_the_id_of_this_process_is_stable() -> None:
    assert installation_id() == installation_id()


def test_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert airflow_home({}) == Path("/home/me/airflow")
    assert airflow_home({"AIRFLOW_HOME": "~/af"}) == Path("/home/me/af")
