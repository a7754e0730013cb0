"""Labels: legal whatever the user's names are, and found again by every reader.

A label is what people and tools select by, so it must stay readable; the text in full stands in the
annotation of the same key. Syntax: Kubernetes, "Labels and Selectors".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.manifests import JobManifest

PREFIX = "airflow-provider-kinetic"
"""Of the keys of our own labels and annotations."""
IDENTITY = ("installation", "dag", "task", "run", "map-index", "try")
"""What a job says of the task instance that it belongs to."""
APP = "kinetic"
UPSTREAMS = ("app", "job-id", "job-name")
"""By these upstream's clients find Jobs and their pods (contract M5, M6)."""

_NONE = "-1"
"""Map index of a task that is not mapped: no label of its own."""
_LONGEST = 63
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.-]+")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_PART = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_KEY = re.compile(rf"(?:(?=[^/]{{1,253}}/){_PART}(?:\.{_PART})*/)?{_NAME}")
_VALUE = re.compile(f"(?:{_NAME})?")


def legal_value(text: str) -> str:
    """``text`` as a label's value: itself where it is legal, else readable, and unique by a digest."""
    if _VALUE.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = _ILLEGAL.sub("-", text)[: _LONGEST - 9].strip("-_.")
    return f"{readable}-{digest}" if readable else digest


def check_labels(labels: Mapping[str, Any], parameter: str = "labels") -> dict[str, str]:
    """The labels of a user. They are not changed silently: people bill and select by them.

    :raises ConfigurationError: a key or a value is not legal, or the key identifies the job.
    """
    for key, value in labels.items():
        if key in UPSTREAMS or str(key).startswith(f"{PREFIX}/"):
            raise ConfigurationError(
                f"`{parameter}` sets {key!r}, which identifies the job.", advice=f"Choose another key in `{parameter}`."
            )
        if not _KEY.fullmatch(str(key)):
            raise ConfigurationError(f"`{parameter}`: {key!r} is not a legal key of a label.", advice=_rule(parameter))
        if value is None or not _VALUE.fullmatch(str(value)):
            near = legal_value(str(value))
            raise ConfigurationError(
                f"`{parameter}`: {value!r} is not a legal value of the label {key!r}.",
                advice=f"{_rule(parameter)} Legal is {near!r}.",
            )
    return {key: str(value) for key, value in labels.items()}


def labels_of(manifest: JobManifest) -> dict[str, str]:
    """Labels of the Job: upstream's two, the user's, and the identity that the annotations give in full."""
    upstreams = {"app": APP, "job-id": manifest.job_id}
    users = {key: value for key, value in manifest.labels.items() if upstreams.get(key) != value}
    keys = [key for key in (f"{PREFIX}/{name}" for name in IDENTITY) if manifest.annotations.get(key, _NONE) != _NONE]
    return {**upstreams, **check_labels(users), **{key: legal_value(manifest.annotations[key]) for key in keys}}


def pod_labels_of(manifest: JobManifest) -> dict[str, str]:
    return {**labels_of(manifest), "job-name": manifest.name}


def _rule(parameter: str) -> str:
    return f"In `{parameter}`, use at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends."
