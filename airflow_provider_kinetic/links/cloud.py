"""Addresses in the Google Cloud console: a job, its logs, its objects. Empty where there is no such page.

A handle is all that is needed. It comes from XCom, so its values are taken for text and quoted: whatever they
hold, the host stays the console's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

CONSOLE = "https://console.cloud.google.com"
_ON_GKE = ("gke", None)
"""Platforms whose jobs run there; upstream's client, which submits nowhere else, says none."""

AHEAD = timedelta(days=1)
"""How far the clock of whoever submitted may be ahead of Google's before lines of a job are missing."""


def job(handle: Mapping[str, Any]) -> str:
    """The Job's page; for upstream's groups of hosts, which have none, the cluster's workloads."""
    if not _on_gke(handle):
        return ""
    if handle.get("backend") == "pathways":
        return f"{CONSOLE}/kubernetes/workload/overview{_project(handle)}"
    path = "/".join(_quoted(handle.get(name)) for name in ("zone", "cluster_name", "namespace", "k8s_name"))
    return f"{CONSOLE}/kubernetes/job/{path}/details{_project(handle)}"


def logs(handle: Mapping[str, Any]) -> str:
    """Cloud Logging with what the job's containers printed since it was submitted, over all its attempts."""
    if not _on_gke(handle):
        return ""
    wanted = {
        "resource.type": "k8s_container",
        "resource.labels.project_id": handle.get("project"),
        "resource.labels.location": handle.get("zone"),
        "resource.labels.cluster_name": handle.get("cluster_name"),
        "resource.labels.namespace_name": handle.get("namespace"),
        'labels."k8s-pod/job-name"': handle.get("k8s_name"),
    }
    lines = [f"{name}={_literal(value)}" for name, value in wanted.items()]
    if begin := _begin(handle):
        lines.append(f"timestamp>={_literal(begin)}")
    return f"{CONSOLE}/logs/query;query={_quoted(chr(10).join(lines))}{_project(handle)}"


def _begin(handle: Mapping[str, Any]) -> str:
    """Well before the job's first line, whose time is that of another clock; empty where no time is known."""
    try:
        submitted = datetime.fromisoformat(str(handle.get("created_at")))
        return (submitted.replace(tzinfo=submitted.tzinfo or UTC) - AHEAD).isoformat()
    except (ValueError, OverflowError):
        return ""


def outputs(handle: Mapping[str, Any]) -> str:
    """The job's output directory in the bucket."""
    return _folder(handle, handle.get("output_dir"))


def artifacts(handle: Mapping[str, Any]) -> str:
    """What was sent to the job and what it sent back, until it is cleaned up."""
    root = handle.get("store_root") or (f"gs://{handle.get('bucket_name')}" if handle.get("bucket_name") else "")
    return _folder(handle, f"{root}/{handle.get('job_id')}")


def _folder(handle: Mapping[str, Any], uri: object) -> str:
    scheme, _, place = str(uri or "").partition("://")
    return f"{CONSOLE}/storage/browser/{quote(place)}{_project(handle)}" if scheme == "gs" and place else ""


def _on_gke(handle: Mapping[str, Any]) -> bool:
    return handle.get("platform") in _ON_GKE and bool(handle.get("project"))


def _project(handle: Mapping[str, Any]) -> str:
    return "?" + urlencode({"project": handle["project"]}) if handle.get("project") else ""


def _quoted(value: object) -> str:
    return quote(str(value), safe="")


def _literal(value: object) -> str:
    """A string of Cloud Logging's query language."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
