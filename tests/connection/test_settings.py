"""The ``[kinetic]`` section."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.hooks.settings import Settings, load_settings, read_settings
from airflow_provider_kinetic.model.errors import ConfigurationError


def test_nothing_configured_is_the_defaults() -> None:
    assert read_settings({}.get) == Settings()
    assert read_settings(dict.fromkeys(vars(Settings()), " ").get) == Settings()


def test_airflow_knows_our_defaults_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings() == Settings()
    monkeypatch.setenv("AIRFLOW__KINETIC__POLL_INTERVAL", "0.5")
    monkeypatch.setenv("AIRFLOW__KINETIC__MAX_PARALLEL", "3")
    monkeypatch.setenv("AIRFLOW__KINETIC__RUN_TIMEOUT", "60")
    monkeypatch.setenv("AIRFLOW__KINETIC__ZONE", "us-east1-b")
    settings = load_settings()
    assert (settings.poll_interval, settings.max_parallel, settings.run_timeout) == (0.5, 3, 60.0)
    assert settings.zone == "us-east1-b"


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("poll_interval", "soon", "a number"),
        ("poll_interval", "nan", "at least 0"),
        ("startup_timeout", "-1", "at least 0"),
        ("startup_timeout", "inf", "at most 1000000000"),
        ("run_timeout", "1e308", "at most 1000000000"),
        ("stop_grace", "nan", "at least 0"),
        ("max_preemptions", "10000000000", "at most 1000000000"),
        ("max_parallel", "0", "at least 1"),
        ("max_preemptions", "1.5", "a whole number"),
        ("cleanup", "sometimes", "on_success, always, never"),
    ],
)
def test_a_bad_value_names_the_option_and_the_variable(name: str, text: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({name: text}.get)
    assert f"`{name}`" in caught.value.summary
    assert allowed in caught.value.summary
    assert f"AIRFLOW__KINETIC__{name.upper()}" in caught.value.advice
