"""Which trial a task works on, and what becomes of what is there already (``checkpointing`` 3.2).

The words a user may give, checked in one place: where the DAG file is read when they stand there, else when the task
runs and they are rendered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError

AUTO, ALWAYS, NEVER, MUST = "auto", "always", "never", "must"
POLICIES = (AUTO, ALWAYS, NEVER, MUST)
WARN, ERROR, FRESH = "warn", "error", "fresh"
ON_MISMATCH = (WARN, ERROR, FRESH)

CONF_KEY = "kinetic_resume"
"""Of a run's conf: a policy for all its tasks, or policies by task id."""

_SCHEMES = ("gs", "file")
_LONGEST_NAME = 500
_HALVES = re.compile("[\ud800-\udfff]")
"""Of characters: JSON can hold one alone, and no path can."""


@dataclass(frozen=True)
class Resume:
    """What one task instance asked for. An empty text means "not given"."""

    trial: str = ""
    """Name of a trial that several runs share; else it is the task instance's own."""
    experiment: str = ""
    """What the trial is one of; else the DAG's task."""
    policy: str = AUTO
    on_mismatch: str = WARN
    restore_from: str = ""
    """URI of the checkpoint that a trial without one of its own begins with."""


def asked(
    *, trial: Any = None, experiment: Any = None, resume: Any = AUTO, restore_from: Any = None, on_mismatch: Any = None
) -> Resume:
    """Of parameters as they were given, or rendered.

    :raises ConfigurationError: names the one that cannot be meant.
    """
    return Resume(
        trial=name_of("trial", trial),
        experiment=name_of("experiment", experiment),
        policy=one_of("resume", resume, POLICIES),
        on_mismatch=one_of("on_mismatch", on_mismatch or WARN, ON_MISMATCH),
        restore_from=source_of(restore_from),
    )


def one_of(parameter: str, value: Any, allowed: tuple[str, ...]) -> str:
    """:raises ConfigurationError: names the parameter and what it may be."""
    if not isinstance(value, str) or value not in allowed:
        raise ConfigurationError(f"`{parameter}` is {value!r:.100}; it must be one of {', '.join(allowed)}.")
    return value


def is_template(value: Any) -> bool:
    """Whether it is still to be rendered: a template, or another task's value."""
    return value is None or not isinstance(value, str) or "{{" in value or "{%" in value


def check_literals(*, resume: Any, on_mismatch: Any, restore_from: Any) -> None:
    """What stands in the DAG file itself. :raises ConfigurationError: names the parameter."""
    if not is_template(resume):
        one_of("resume", resume, POLICIES)
    if on_mismatch is not None:
        one_of("on_mismatch", on_mismatch, ON_MISMATCH)
    if not is_template(restore_from):
        source_of(restore_from)


def policy_of(resume: Any, conf: Mapping[str, Any], task_id: str) -> str:
    """The run's word, when it has one for this task, else the task's own.

    :raises ConfigurationError: there is no such policy.
    """
    said = conf.get(CONF_KEY)
    if isinstance(said, Mapping):
        said = said.get(task_id)
    if said is not None:
        return one_of(f"{CONF_KEY}` in the run's conf for `{task_id}", said, POLICIES)
    return one_of("resume", resume, POLICIES)


def name_of(parameter: str, value: Any) -> str:
    """A rendered name; native rendering may have made a number of it. Empty for None.

    :raises ConfigurationError: nothing is left of it, or it is no text of a sensible length.
    """
    if value is None:
        return ""
    text = str(value).strip()
    usable = 0 < len(text) <= _LONGEST_NAME and text != "None" and not _HALVES.search(text)
    if isinstance(value, Mapping | list | tuple | bool) or not usable:
        raise ConfigurationError(
            f"`{parameter}` is {value!r:.100}; it must be a name of at most {_LONGEST_NAME} characters.",
            advice=f"See what its template renders to, or leave `{parameter}` out.",
        )
    return text


def source_of(value: Any) -> str:
    """The URI behind ``restore_from``: a text, a ``KineticCheckpoint``, or one as JSON. Empty for None.

    :raises ConfigurationError: it is none of these.
    """
    if value is None:
        return ""
    uri = value.get("uri") if isinstance(value, Mapping) else getattr(value, "uri", value)
    scheme, _, rest = str(uri).partition("://")
    if not isinstance(uri, str) or scheme not in _SCHEMES or not rest.strip("/"):
        raise ConfigurationError(
            f"`restore_from` is {value!r:.200}; it must be a checkpoint.",
            advice="Pass the URI of one, gs://… or file://…, a KineticCheckpoint, or the XCom of a task that is one.",
        )
    return uri.rstrip("/")
