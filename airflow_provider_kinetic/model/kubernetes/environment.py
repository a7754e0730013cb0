"""Variables of the container, and what the kernel and the API server would refuse later and with less to say.

Values are data: Kubernetes replaces ``$(NAME)`` in them and makes one ``$`` of two, so every ``$`` is
written twice. Variables from Secrets are not expanded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model import accelerators
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.manifests import JobManifest

LONGEST_VARIABLE = 128 * 1024 - 1
"""Bytes of ``name=value``: Linux, ``MAX_ARG_STRLEN``, without the final zero."""
LARGEST_ENVIRONMENT = 1024 * 1024
"""Bytes of all together: Kubernetes' limit of a Secret, and well within what etcd takes in one request."""

UPSTREAMS = (protocol.ENV_BACKEND, protocol.ENV_PLATFORM, protocol.ENV_JOB_ID, protocol.ENV_BUCKET)
_DEBUG = {
    "KINETIC_DEBUG": "1",
    "PYTHONBREAKPOINT": "debugpy.breakpoint",
    "KINETIC_DEBUG_WAIT_TIMEOUT": "600",
    "KINETIC_DEBUG_PORT": "5678",
}
_NAME = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]{0,252}")
_REFERENCE = re.compile(r"([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)/([-._A-Za-z0-9]{1,253})")


def environment_of(manifest: JobManifest) -> list[dict[str, Any]]:
    """``env`` of the container: upstream's four first, in upstream's order (contract 3.3).

    :raises ConfigurationError: a name, a value or the whole cannot be an environment.
    """
    values = {
        protocol.ENV_BACKEND: "jax",
        protocol.ENV_PLATFORM: accelerators.parse(manifest.accelerator).jax_platform,
        protocol.ENV_JOB_ID: manifest.job_id,
        **manifest.env,
        **(_DEBUG if manifest.debug else {}),
    }
    check_variables(values, "env_vars")
    names = [name for name in UPSTREAMS if name in values] + [name for name in values if name not in UPSTREAMS]
    literal = [{"name": name, "value": literally(values[name])} for name in names]
    for name in manifest.secret_env:
        if name in values:
            whose = "is set by Kinetic" if name.startswith("KINETIC_") or name in UPSTREAMS else "is in `env_vars` too"
            raise _unusable("secret_env", name, f"it {whose}", "Give it another name, or leave one of the two out.")
    return literal + [_from_secret(name, reference) for name, reference in manifest.secret_env.items()]


def literally(text: str) -> str:
    """``text`` as Kubernetes must read it to hand on ``text``."""
    return text.replace("$", "$$")


def check_variables(variables: Mapping[str, str], parameter: str) -> None:
    """Whether these can be variables of a process; messages never show a value.

    :raises ConfigurationError: naming the variable.
    """
    total = 0
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise _unusable(parameter, name, "its name is not one of a variable", "Use letters, digits and `_`.")
        size = _size(parameter, name, value)
        if size > LONGEST_VARIABLE:
            why = f"it has {size:,} bytes, and Linux starts no process with one of more than {LONGEST_VARIABLE:,}"
            raise _unusable(parameter, name, why, "Pass it as an argument of the function instead.")
        total += size
    if total > LARGEST_ENVIRONMENT:
        raise ConfigurationError(
            f"`{parameter}` has {total:,} bytes; at most {LARGEST_ENVIRONMENT:,} fit.",
            advice=f"Shorten `{parameter}`, or pass large values as arguments of the function.",
        )


def _size(parameter: str, name: str, value: str) -> int:
    try:
        size = len(name) + 1 + len(value.encode())
    except UnicodeEncodeError:
        raise _unusable(parameter, name, "its value is not Unicode text", "Pass bytes as an argument.") from None
    if "\0" in value:
        raise _unusable(parameter, name, "its value contains a zero byte", "Pass bytes as an argument.")
    return size


def _from_secret(name: str, reference: str) -> dict[str, Any]:
    check_variables({name: ""}, "secret_env")
    found = _REFERENCE.fullmatch(str(reference))
    if not found:
        raise ConfigurationError(
            f"`secret_env`: {reference!r} for {name!r} names no key of a Secret.", advice="Write `secret-name/key`."
        )
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": found[1], "key": found[2]}}}


def _unusable(parameter: str, name: str, why: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"`{parameter}`: the variable {name[:100]!r} cannot be set: {why}.", advice=advice)
