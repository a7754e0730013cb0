"""Why a build failed, in one line, and what to do: from what Cloud Build says and the last lines of its log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_kinetic.model.images import BuildState

_STATES = {
    "STATUS_UNKNOWN": BuildState.QUEUED,
    "PENDING": BuildState.QUEUED,
    "QUEUED": BuildState.QUEUED,
    "WORKING": BuildState.WORKING,
    "SUCCESS": BuildState.SUCCEEDED,
    "TIMEOUT": BuildState.TIMED_OUT,
    "CANCELLED": BuildState.CANCELLED,
}
LOGS_VIEWER = "Logs Viewer (roles/logging.viewer)"
_BUILDER = "the account that builds (`build_service_account`, else kn-{cluster}-builds)"
_PREFIX = re.compile(r"^(?:Step #\d+(?: - \"[^\"]*\")?: |#\d+ (?:[\d.]+ )?)*")


class Cause(NamedTuple):
    """``message`` without a final stop."""

    message: str
    advice: str


def state_of(build: Mapping[str, Any]) -> BuildState:
    """Of ``Build.status``. ``FAILURE``, ``INTERNAL_ERROR`` and ``EXPIRED`` are failures."""
    return _STATES.get(str(build.get("status", "STATUS_UNKNOWN")), BuildState.FAILED)


def plain_lines(tail: str) -> str:
    """Lines of a build's log without the numbers of steps and seconds in front, and without empty ones."""
    return "\n".join(filter(None, (_PREFIX.sub("", line).rstrip() for line in tail.splitlines())))


def cause_of(build: Mapping[str, Any], tail: str) -> Cause:
    """The cause of a build that did not succeed.

    :param tail: the last lines of its log, plain; empty where they cannot be read.
    """
    info = build.get("failureInfo") or {}
    detail = str(info.get("detail") or build.get("statusDetail") or "").strip()
    status = str(build.get("status", ""))
    if status in _BY_STATUS:
        cause, advice = _BY_STATUS[status]
        return Cause(_with(cause.format(timeout=build.get("timeout", "some time")), detail), advice)
    for pattern, message, advice in _SIGNS:
        found = pattern.search(f"{tail}\n{detail}")
        if found:
            return Cause(message.format(*(group or "" for group in found.groups())).rstrip(": ."), advice)
    kind = _BY_KIND.get(str(info.get("type", "")))
    if kind is not None:
        return Cause(_with(kind.message, detail), kind.advice)
    error = next((line for line in reversed(tail.splitlines()) if "error" in line.lower()), "")
    return Cause(error[:300] or detail or "the build failed", "Correct the requirements or the base image.")


def _with(cause: str, detail: str) -> str:
    return f"{cause}: {detail}" if detail else cause


_BY_STATUS = {
    "TIMEOUT": Cause(
        "it took longer than {timeout}",
        "Raise `build_timeout` of the connection, or give the build a larger `build_machine_type`.",
    ),
    "EXPIRED": Cause(
        "it waited too long for a machine",
        "Others build in this project: ask for more concurrent builds (Cloud Build API, in the console under Quotas),"
        " or set `build_region` or `build_worker_pool` of the connection.",
    ),
    "INTERNAL_ERROR": Cause(
        "Cloud Build had an internal error", "Retry; https://status.cloud.google.com says whether it has trouble."
    ),
    "CANCELLED": Cause("it was cancelled", "Run the task again where the image is still wanted."),
}
_PUSH = (
    f"Grant {_BUILDER} Artifact Registry Writer (roles/artifactregistry.writer) on the repository; where there is no"
    " such repository, make it or name another as `build_repository` of the connection."
)
_REQUIREMENT = "Correct the requirements: nothing that the package index has fits all of them for this Python."
_BASE = "Correct `base_image` (of the task or the connection): there is nothing under that name and tag."
_BY_KIND = {
    "PUSH_NOT_AUTHORIZED": Cause("the image may not be written to the repository", _PUSH),
    "PUSH_FAILED": Cause("the image could not be written to the repository", _PUSH),
    "PUSH_IMAGE_NOT_FOUND": Cause("docker made no image", "The log says why."),
    "LOGGING_FAILURE": Cause(
        "its log could not be written",
        f"Grant {_BUILDER} Logs Writer (roles/logging.logWriter) on the project.",
    ),
    "FETCH_SOURCE_FAILED": Cause(
        "what is built could not be read from the bucket",
        f"Grant {_BUILDER} Storage Object Viewer (roles/storage.objectViewer) on the bucket of the connection.",
    ),
}
_SIGNS = [
    (
        re.compile(r"(?i)(no space left on device)"),
        "the disk of the machine that builds is full",
        "Give the build a larger `build_machine_type` or a `build_worker_pool`, or fewer requirements.",
    ),
    (
        re.compile(r"(the task needs Python [^\"\n]{1,80})"),
        "the base image has another Python: {0}",
        "Name a `base_image` with the Python that runs the task, or leave it out.",
    ),
    (
        re.compile(r"(?i)(tag immutab|immutable tag)"),
        "the repository does not let a tag move",
        "Set `build_layer_cache` to false in the connection, or switch immutable tags off for the repository: the layer"
        " cache is a tag that moves.",
    ),
    (
        re.compile(r"(?i)denied: (Permission .artifactregistry[^\n]{1,200}|[^\n]*uploadArtifacts[^\n]{0,200})"),
        "the image may not be written to the repository: {0}",
        _PUSH,
    ),
    (
        re.compile(r"(?i)(name unknown: Repository [^\n]{1,200}|Repository \S+ not found)"),
        "there is no such repository for the image: {0}",
        _PUSH,
    ),
    (
        re.compile(r"failed to (?:solve|resolve source|create LLB)[^\n]*\s(\S+): not found"),
        "there is no base image {0}",
        _BASE,
    ),
    (re.compile(r"manifest for (\S+) not found"), "there is no base image {0}", _BASE),
    (
        re.compile(
            r"source metadata for (\S+): [^\n]*"
            r"(?:may require authorization|authorization failed|insufficient_scope|403 Forbidden|401 Unauthorized)"
        ),
        "the base image {0} does not exist or may not be read",
        f"Correct `base_image` (of the task or the connection), or let {_BUILDER} read its registry.",
    ),
    (
        re.compile(
            r"(?:No matching distribution found for|Could not find a version that satisfies the requirement)"
            r" ([^\n]{1,200})"
        ),
        "no package fits the requirement {0}",
        _REQUIREMENT,
    ),
    (
        re.compile(
            r"(?:No solution found when resolving dependencies|ResolutionImpossible)"
            r"[^\n]*\n?\W*((?:Because )?[^\n]{1,300})?"
        ),
        "the requirements contradict one another: {0}",
        _REQUIREMENT,
    ),
    (
        re.compile(r"(?i)(?:Failed to build|Failed building wheel for) `?([^`\s]+)"),
        "the requirement {0} could not be compiled",
        "Take a version that has a wheel for this Python, or a `base_image` with what its compilation needs.",
    ),
]
"""The first that fits: pattern, message, advice."""
