"""Which platform honours which parameter of an operator.

The rule (docs/parameters.md): a parameter that the platform of the connection cannot honour is an error,
never ignored. One exception is asked for by name: with ``emulate_accelerators`` the local platform takes
what describes machines that it does not have, runs the job on the CPU and says so in one warning. That
makes one DAG file run here and on a cluster.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

from airflow_provider_kinetic.model.accelerators import parse
from airflow_provider_kinetic.model.errors import AcceleratorError, ConfigurationError, UnsupportedParameter
from airflow_provider_kinetic.model.kubernetes.hosts import check_single_host
from airflow_provider_kinetic.model.kubernetes.labels import check_labels
from airflow_provider_kinetic.model.spec import JobSpec
from airflow_provider_kinetic.model.target import Platform, Target
from airflow_provider_kinetic.model.volumes import check_volumes

_ALL: frozenset[Platform] = frozenset(get_args(Platform))
_CLOUD: frozenset[Platform] = _ALL - {"local"}
_NONE: frozenset[Platform] = frozenset()

SUPPORT: dict[str, frozenset[Platform]] = {
    # Upstream's (contract 1.2).
    "accelerator": _ALL,
    "container_image": _ALL,
    "base_image_repo": _CLOUD,
    "zone": _CLOUD,
    "project": _CLOUD,
    "capture_env_vars": _ALL,
    "cluster": _ALL,
    "backend": _CLOUD,
    "namespace": _ALL,
    "volumes": _ALL,
    "spot": _CLOUD,
    "output_dir": _ALL,
    "debug": _NONE,
    # Ours.
    "trial": _ALL,
    "experiment": _ALL,
    "resume": _ALL,
    "restore_from": _ALL,
    "on_mismatch": _ALL,
    "requirements": _ALL,
    "env_vars": _ALL,
    "secrets": _ALL,
    "startup_timeout": _ALL,
    "run_timeout": _ALL,
    "stop_grace": _ALL,
    "stall_timeout": _ALL,
    "max_preemptions": _ALL,
    "result_format": _ALL,
    "labels": _ALL,
    "service_account": _CLOUD,
    "requests": _CLOUD,
    "priority_class": _CLOUD,
    "queue_name": _CLOUD,
    "secret_env": _CLOUD,
    "pod_override": _CLOUD,
    "cleanup": _ALL,
    "cancel_on_kill": _ALL,
    "job_id": _ALL,
    "deferrable": _ALL,
}

EMULATED = frozenset(
    {
        *("base_image_repo", "zone", "project", "backend", "spot"),
        *("service_account", "requests", "priority_class", "queue_name", "pod_override"),
    }
)
"""What the local platform takes with ``emulate_accelerators``; accelerators other than ``cpu`` belong to it.

``secret_env`` does not: a function that reads such a variable would not find it.
"""

PREBUILT = "prebuilt"
"""``container_image``: published images (contract 4.1). This machine has none; emulation builds one."""

_BACKENDS = ("gke", "pathways")
_AMOUNTS = ("startup_timeout", "run_timeout", "stop_grace", "stall_timeout", "max_preemptions")
LARGEST = 10**9
"""Of a duration in seconds (31 years) or a count: Kubernetes reckons with nanoseconds in 64 bits, and overflows above
nine times as many."""

_DICTS = ("labels", "requests", "secret_env", "pod_override")
_NAMES = ("service_account", "priority_class", "queue_name")


def check(target: Target, given: Mapping[str, Any]) -> list[str]:
    """Whether the target's platform honours what was given; None, False and empty values count as not given.

    Returns warnings to log: one where something is emulated, else none.

    :raises ConfigurationError: a value that cannot be meant, such as a negative time, or a job on several hosts.
    :raises UnsupportedParameter: a parameter is not honoured; the message names who does honour it.
    :raises AcceleratorError: no such accelerator, or not one that this platform has.
    """
    asked = {name: value for name, value in given.items() if _says_something(value)}
    _check_values(asked)
    emulates = target.platform == "local" and target.emulate_accelerators
    emulated = []
    for name, value in asked.items():
        if target.platform in _support(name):
            continue
        if not (emulates and name in EMULATED):
            raise _unsupported(name, target.platform)
        emulated.append(name if isinstance(value, Mapping) else f"{name}={value!r}")
    if target.platform == "local" and asked.get("container_image") == PREBUILT:
        if not emulates:
            raise _no_prebuilt()
        emulated.append(f"container_image={PREBUILT!r}")
    _check_hosts(target, asked)
    if "accelerator" in asked and _foreign_accelerator(asked["accelerator"], target.platform, emulates):
        emulated.insert(0, f"accelerator={asked['accelerator']!r}")
    return [f"Emulated on the CPU of this machine, not honoured: {', '.join(emulated)}."] if emulated else []


def _check_hosts(target: Target, asked: Mapping[str, Any]) -> None:
    """A local job is one process, whatever it emulates."""
    if (backend := asked.get("backend")) and backend not in _BACKENDS:
        raise ConfigurationError(f"There is no `backend` {backend!r}.", advice=f"There are: {', '.join(_BACKENDS)}.")
    if target.platform != "local":
        check_single_host(parse(asked.get("accelerator", JobSpec.accelerator)), backend)


def _check_values(asked: Mapping[str, Any]) -> None:
    for name in _AMOUNTS:
        value = asked.get(name, 0)
        amount = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= LARGEST:
            kind = "a number" if name == "max_preemptions" else "seconds or a timedelta"
            raise ConfigurationError(f"`{name}` is {value!r}; it must be {kind}, 0 or more, at most {LARGEST}.")
    names = asked.get("capture_env_vars")
    if isinstance(names, str):
        raise ConfigurationError(f"`capture_env_vars` is {names!r}; it must be a list: [{names!r}].")
    for name in _NAMES:
        if not isinstance(asked.get(name, ""), str):
            raise ConfigurationError(f"`{name}` is {asked[name]!r:.100}; it must be a text.")
    for name in _DICTS:
        _check_dict(name, asked.get(name, {}))
    check_labels(asked.get("labels", {}))
    check_volumes(asked.get("volumes", {}))


def _check_dict(name: str, value: Any) -> None:
    """Plain values alone: objects of Kubernetes' client, say, can be neither compared nor written down."""
    if not isinstance(value, dict):
        raise ConfigurationError(f"`{name}` is {value!r:.100}; it must be a dict.")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"`{name}` holds what JSON cannot: {error}.", advice=f"Write `{name}` with dicts, lists, texts and numbers."
        ) from None


def _says_something(value: Any) -> bool:
    """Numbers say something even when they are 0."""
    if isinstance(value, bool):
        return value
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _support(name: str) -> frozenset[Platform]:
    try:
        return SUPPORT[name]
    except KeyError:
        near = difflib.get_close_matches(name, SUPPORT, n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        raise UnsupportedParameter(
            f"There is no parameter `{name}`.", advice=f"{hint}There are: {', '.join(SUPPORT)}."
        ) from None


def _unsupported(name: str, platform: Platform) -> UnsupportedParameter:
    honouring = ", ".join(sorted(SUPPORT[name]))
    where = f"It is honoured on: {honouring}." if honouring else "No platform honours it in this version."
    advice = f"{where} Remove `{name}`"
    if honouring:
        advice += ", or pass a `kinetic_conn_id` of such a platform"
    if platform == "local" and name in EMULATED:
        advice += ", or set `emulate_accelerators` in the connection to accept it here without effect"
    return UnsupportedParameter(f"The platform {platform!r} cannot honour the parameter `{name}`.", advice=f"{advice}.")


def _no_prebuilt() -> UnsupportedParameter:
    return UnsupportedParameter(
        f"The platform 'local' has no prebuilt images: container_image={PREBUILT!r}.",
        advice="Leave `container_image` out: an environment is then built from your requirements. Or set "
        "`emulate_accelerators` in the connection to have that happen for a DAG file that also runs elsewhere.",
    )


def _foreign_accelerator(text: str, platform: Platform, emulates: bool) -> bool:
    """Whether the accelerator has to be emulated."""
    accelerator = parse(text)
    if platform != "local" or accelerator.category == "cpu":
        return False
    if not emulates:
        raise AcceleratorError(
            f"The local platform has no accelerator {text!r}, only the CPU of this machine.",
            advice='Set `"emulate_accelerators": true` in the connection to run it on the CPU, '
            'or pass accelerator="cpu", or a `kinetic_conn_id` of a cluster.',
        )
    return True
