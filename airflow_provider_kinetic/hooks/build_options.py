"""How images are built, from the fields of a connection and what a task says of its own build."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import BuildOptions

FIELDS = {
    "base_image": "base_image",
    "build_non_root": "non_root",
    "build_region": "region",
    "build_worker_pool": "worker_pool",
    "build_machine_type": "machine_type",
    "build_timeout": "timeout",
    "build_layer_cache": "layer_cache",
    "build_tags": "tags",
    "build_service_account": "service_account",
    "build_repository": "repository",
}
"""Field of the connection → field of :class:`BuildOptions`."""

LONGEST = 24 * 3600
"""Seconds that Cloud Build gives a build at most (its REST reference, ``Build.timeout``)."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")  # Cloud Build's REST reference, ``Build.tags``
_POOL = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/workerPools/[^/\s]+")


class Sources(Protocol):
    """Looks a field up in the order of precedence."""

    def value(self, name: str) -> Any: ...

    def text(self, name: str) -> str | None: ...


def build_options(sources: Sources) -> BuildOptions:
    """The options with which images are built.

    :raises ConfigurationError: names the field and what it may be.
    """
    given = {option: _READ.get(name, _text)(name, sources) for name, option in FIELDS.items()}
    return BuildOptions(**{option: value for option, value in given.items() if value is not None})


def _text(name: str, sources: Sources) -> str | None:
    return sources.text(name) or None


def _flag(name: str, sources: Sources) -> bool | None:
    """JSON gives a boolean, a connection URI gives text."""
    value = sources.value(name)
    if value is None or isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[str(value).lower()]
    except KeyError:
        raise _bad(name, value, "true or false") from None


def _timeout(name: str, sources: Sources) -> float | None:
    value = sources.value(name)
    if value is None:
        return None
    try:
        seconds = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 1 <= seconds <= LONGEST:
        raise _bad(name, value, f"a number of seconds from 1 to {LONGEST}")
    return seconds


def _tags(name: str, sources: Sources) -> tuple[str, ...] | None:
    """A list, or a text with commas, which is what the form of a connection gives."""
    value = sources.value(name)
    if value is None:
        return None
    each = value.split(",") if isinstance(value, str) else value
    tags = tuple(str(tag).strip() for tag in each) if isinstance(each, Sequence) else ("",)
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise _bad(name, value, "tags of letters, digits, _, . and -, at most 128 characters each, with commas between")
    return tags


def _pool(name: str, sources: Sources) -> str | None:
    value = _text(name, sources)
    if value is not None and not _POOL.fullmatch(value):
        raise _bad(name, value, "projects/{project}/locations/{location}/workerPools/{name}")
    return value


def _bad(name: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"`{name}` is {value!r:.200}; it must be {allowed}.")


_READ: dict[str, Callable[[str, Sources], Any]] = {
    "build_non_root": _flag,
    "build_worker_pool": _pool,
    "build_timeout": _timeout,
    "build_layer_cache": _flag,
    "build_tags": _tags,
}
