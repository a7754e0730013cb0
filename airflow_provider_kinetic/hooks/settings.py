"""The ``[kinetic]`` section of Airflow's configuration: what holds for every connection and task unless they say more.

Read when it is needed, never at import: a DAG file that only names our classes must not depend on what
the machine that parses it has configured. ``get_provider_info`` declares the same options, so they
appear in ``airflow config list``; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.parameters import LARGEST

SECTION = "kinetic"


@dataclass(frozen=True)
class Settings:
    """Times in seconds, sizes in bytes. None: no value of its own, the next in the order of precedence decides."""

    project: str | None = None
    zone: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    output_root: str | None = None
    max_parallel: int | None = None
    installation_id: str | None = None
    poll_interval: float = 5.0
    """Between two looks at a job's status."""
    min_dwell: float = 10.0
    """Shortest deferral: a trigger that fires sooner races the scheduler (``airflow`` 0.5)."""
    startup_timeout: float = 86400.0
    """From submit to the first line of the function; a queue for scarce accelerators may take hours."""
    run_timeout: float | None = None
    stop_grace: float = 30.0
    max_preemptions: int = 10
    cleanup: str = "on_success"
    xcom_max_bytes: int = 48 * 1024
    """Largest JSON value that is handed on in XCom itself; anything larger becomes a reference."""
    log_lines_per_second: float = 200.0
    """Of job output into task logs, for all jobs that one process observes."""
    log_requests_per_second: float = 10.0
    """For job output, of a triggerer for all the jobs that it observes; 0: no output while tasks are deferred."""
    calm_heap_at: int = 2000
    """Jobs observed by one triggerer from which on its garbage collections leave out what is old; 0: never."""


def load_settings() -> Settings:
    """The settings of this process's Airflow.

    :raises ConfigurationError: an option has a value of the wrong kind; the message names it.
    """
    from airflow.sdk import conf

    def option(name: str) -> str | None:
        return conf.get(SECTION, name, fallback=None)

    return read_settings(option)


def read_settings(option: Callable[[str], str | None]) -> Settings:
    """Settings from anything that answers with the text of an option; empty text means unset."""
    given: dict[str, Any] = {}
    for field in fields(Settings):
        text = (option(field.name) or "").strip()
        if text:
            given[field.name] = _convert(field.name, text, str(field.type))
    return Settings(**given)


_KINDS: dict[str, tuple[Callable[[str], object], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "str": (str, "a text"),
}
_CHOICES = {"cleanup": ("on_success", "always", "never")}
_AMOUNTS = {"startup_timeout", "run_timeout", "stop_grace", "max_preemptions", "poll_interval", "min_dwell"}
_AT_LEAST_ONE = {"max_parallel", "xcom_max_bytes", "log_lines_per_second"}


def _convert(name: str, text: str, annotation: str) -> object:
    kind, meaning = _KINDS[annotation.partition(" ")[0]]
    try:
        value = kind(text)
    except ValueError:
        raise _bad(name, text, meaning) from None
    if isinstance(value, int | float) and not value >= (1 if name in _AT_LEAST_ONE else 0):
        raise _bad(name, text, f"{meaning}, at least {1 if name in _AT_LEAST_ONE else 0}")
    if name in _AMOUNTS and isinstance(value, int | float) and value > LARGEST:
        raise _bad(name, text, f"{meaning}, at most {LARGEST}")
    choices = _CHOICES.get(name)
    if choices and value not in choices:
        raise _bad(name, text, "one of " + ", ".join(choices))
    return value


def _bad(name: str, text: str, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"The option `{name}` in section [{SECTION}] of Airflow's configuration is {text!r}; it must be {allowed}.",
        advice=f"Correct it in airflow.cfg or in the variable AIRFLOW__KINETIC__{name.upper()}.",
    )
