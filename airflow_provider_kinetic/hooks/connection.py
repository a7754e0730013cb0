"""From a connection of type ``kinetic`` to a target: where jobs run and where their objects lie.

Every field is decided here and once, at submit, in the order operator argument > connection >
``KINETIC_*`` environment > ``[kinetic]`` configuration > default (``design`` 4). The decision itself is a
pure function of these sources; only :func:`get_connection` and :func:`resolve_target` ask Airflow.
A connection that does not exist or does not say its platform is an error: a job that was meant for a
TPU must never run quietly on the worker.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_kinetic.hooks import build_options as building
from airflow_provider_kinetic.hooks.settings import Settings
from airflow_provider_kinetic.job.storage import path_to_uri, uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError, ConnectionError_
from airflow_provider_kinetic.model.kubernetes.job import default_service_account
from airflow_provider_kinetic.model.target import Platform, Target

if TYPE_CHECKING:
    from airflow.sdk import Connection

CONN_TYPE = "kinetic"
PLATFORMS: tuple[str, ...] = get_args(Platform)

_EVERYWHERE = frozenset({"platform", "cluster", "namespace", "bucket", "output_root", "build_timeout"})
_GKE = frozenset({"endpoint"})
_KUBERNETES = frozenset({"kubernetes_conn_id"})
_IMAGES = (frozenset(building.FIELDS) | {"base_image_repo", "prebuilt_tag"}) - _EVERYWHERE
_CLOUD = frozenset({"project", "zone", "gcp_conn_id", "service_account", "queue"}) | _GKE | _KUBERNETES | _IMAGES
_LOCAL = frozenset({"max_parallel", "emulate_accelerators"})
FIELDS = _EVERYWHERE | _CLOUD | _LOCAL
"""Every field of the connection."""

_ENVIRONMENT = {name: f"KINETIC_{name.upper()}" for name in ("project", "zone", "cluster", "namespace")}
_DEFAULTS = {"gcp_conn_id": "google_cloud_default", "kubernetes_conn_id": "kubernetes_default"}
_ENDPOINTS = ("public", "private", "dns")
_BOUNDARY = {"gke": "project", "kubernetes": "cluster"}
"""The field that a task or a handle cannot change where the connection names it: it says who is sent a token."""
_UPSTREAM = {"zone": "us-central1-a", "cluster": "kinetic-cluster", "namespace": "default"}  # contract 1.4
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def target_of(
    conn: Connection | Mapping[str, Any],
    *,
    kinetic_conn_id: str,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    airflow_home: Path,
    settings: Settings | None = None,
    installation: str = "",
) -> Target:
    """The target of a connection (or of its extra fields alone) with the operator's own values applied.

    ``overrides`` holds operator arguments under the names of connection fields; None means not given.

    :raises ConnectionError_: the connection does not say its platform or has an unknown field.
    :raises ConfigurationError: a field has a value that cannot be; the message names field and allowed values.
    """
    given = _extras(conn, kinetic_conn_id)
    sources = _Sources(given, overrides or {}, environ, settings or Settings())
    platform = _platform(given.get("platform"), kinetic_conn_id)
    emulate = _boolean(given, "emulate_accelerators")
    _check_honoured(given | _of_images(overrides), platform, emulate)
    _check_boundary(given, overrides or {}, platform, kinetic_conn_id)
    common: dict[str, Any] = {
        "kinetic_conn_id": kinetic_conn_id,
        "service_account": sources.text("service_account"),
        "queue": sources.text("queue"),
        "emulate_accelerators": emulate,
        "installation": installation,
        "build": building.build_options(sources),
        "base_image_repo": sources.text("base_image_repo"),
        "prebuilt_tag": sources.text("prebuilt_tag"),
    }
    if platform == "local":
        return _local_target(sources, airflow_home, common)
    return _cloud_target(platform, sources, common)


def resolve_target(
    kinetic_conn_id: str, overrides: Mapping[str, Any] | None = None, *, conn: Connection | None = None
) -> Target:
    """The target of a stored connection in this process, everything looked up.

    :param conn: the connection, where the caller has it already.
    """
    import os

    from airflow_provider_kinetic.hooks.installation import airflow_home, installation_id
    from airflow_provider_kinetic.hooks.settings import load_settings

    return target_of(
        conn or get_connection(kinetic_conn_id),
        kinetic_conn_id=kinetic_conn_id,
        overrides=overrides,
        environ=os.environ,
        airflow_home=airflow_home(),
        settings=load_settings(),
        installation=installation_id(),
    )


def get_connection(conn_id: str) -> Connection:
    """The connection of that id.

    :raises ConnectionError_: there is none, or it is of another type; the advice shows how to make one.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        conn = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConnectionError_(f"There is no connection `{conn_id}`.", advice=how_to_connect(conn_id)) from None
    if conn.conn_type != CONN_TYPE:
        raise ConnectionError_(
            f"The connection `{conn_id}` is of type {conn.conn_type!r}, not {CONN_TYPE!r}.",
            advice=f"Pass another `kinetic_conn_id`, or change the type of the connection.\n{how_to_connect(conn_id)}",
        )
    return conn


def how_to_connect(conn_id: str) -> str:
    """Three ways to make a connection, each ready to copy."""
    local = '{"platform": "local", "emulate_accelerators": true}'
    variable = f'{{"conn_type": "{CONN_TYPE}", "extra": {local}}}'
    return (
        "Make one; `platform` is gke, kubernetes or local (this machine):\n"
        f"  airflow connections add {conn_id} --conn-type {CONN_TYPE} --conn-extra '{local}'\n"
        f"  export AIRFLOW_CONN_{conn_id.upper()}='{variable}'\n"
        "  or in the UI: Admin > Connections > Add Connection, type Kinetic."
    )


class _Sources:
    """Looks a field up in the order of precedence."""

    def __init__(
        self, given: Mapping[str, Any], overrides: Mapping[str, Any], environ: Mapping[str, str], settings: Settings
    ) -> None:
        unknown = sorted(set(overrides) - FIELDS)
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is not a field of a target.", advice=_near(unknown[0], FIELDS))
        self._layers = (
            {name: value for name, value in overrides.items() if value is not None},
            given,
            {name: environ[variable] for name, variable in _ENVIRONMENT.items() if environ.get(variable)},
            {name: value for name, value in vars(settings).items() if name in FIELDS and value is not None},
        )
        self.google_project = environ.get("GOOGLE_CLOUD_PROJECT") or None

    def value(self, name: str) -> Any:
        return next((layer[name] for layer in self._layers if name in layer), None)

    def text(self, name: str) -> str | None:
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise _bad(name, value, "a text")
        return value

    def label(self, name: str, default: str) -> str:
        """A name as Kubernetes and Google Cloud allow them; also a safe folder name."""
        value = self.text(name)
        if value is None:
            return default
        if not _LABEL.fullmatch(value):
            raise _bad(name, value, "1 to 63 lower-case letters, digits and inner hyphens")
        return value


def _local_target(sources: _Sources, airflow_home: Path, common: dict[str, Any]) -> Target:
    bucket = _location("bucket", sources.text("bucket") or str(airflow_home / "kinetic"), "file")
    cluster = sources.label("cluster", "local")
    return Target(
        platform="local",
        store_root=f"{bucket}/jobs",
        output_root=_location("output_root", sources.text("output_root") or f"{bucket}/outputs", "file"),
        cluster_uri=f"{bucket}/cluster" if cluster == "local" else f"{bucket}/clusters/{cluster}",
        environments_uri=f"{bucket}/environments",
        project=sources.label("project", "local"),
        zone=sources.label("zone", "local"),
        cluster=cluster,
        namespace=sources.label("namespace", "default"),
        max_parallel=_max_parallel(sources.value("max_parallel")),
        **common,
    )


def _cloud_target(platform: Platform, sources: _Sources, common: dict[str, Any]) -> Target:
    """Names of contract 1.6."""
    zone, cluster, namespace = (sources.label(name, _UPSTREAM[name]) for name in ("zone", "cluster", "namespace"))
    project = sources.label("project", sources.google_project or "")
    bucket = sources.text("bucket")
    if not project and (platform == "gke" or not bucket):
        raise ConfigurationError(
            f"The connection `{common['kinetic_conn_id']}` says no `project`, and nothing else does.",
            advice="Set `project` in the connection, or the variable KINETIC_PROJECT, or [kinetic] project.",
        )
    bucket = _bucket(bucket, f"{project}-kn-{cluster}-jobs")
    return Target(
        platform=platform,
        store_root=f"gs://{bucket}",
        output_root=_location("output_root", sources.text("output_root") or f"gs://{bucket}/outputs", "gs"),
        project=project,
        zone=zone,
        cluster=cluster,
        namespace=namespace,
        gcp_conn_id=sources.text("gcp_conn_id") or _DEFAULTS["gcp_conn_id"],
        **(common | _reach(platform, sources, f"{project}/{zone}/{cluster}", cluster)),
    )


def _reach(platform: Platform, sources: _Sources, path: str, cluster: str) -> dict[str, Any]:
    """How the platform finds its cluster."""
    if platform == "gke":
        account = sources.text("service_account") or default_service_account(platform)
        return {"cluster_uri": f"gke://{path}", "endpoint": _endpoint(sources), "service_account": account}
    conn_id = sources.text("kubernetes_conn_id") or _DEFAULTS["kubernetes_conn_id"]
    return {"cluster_uri": f"kubernetes://{conn_id}/{cluster}", "kubernetes_conn_id": conn_id}


def _endpoint(sources: _Sources) -> str:
    value = sources.text("endpoint") or ""
    if value and value not in _ENDPOINTS:
        raise _bad("endpoint", value, f"one of {', '.join(_ENDPOINTS)}, or nothing for what the cluster offers")
    return value


def _extras(conn: Connection | Mapping[str, Any], conn_id: str) -> dict[str, Any]:
    """Fields that were given: the UI saves an empty field as null or as empty text."""
    raw = conn if isinstance(conn, Mapping) else conn.extra_dejson
    unknown = sorted(str(name) for name in set(raw) - FIELDS)
    if unknown:
        raise ConnectionError_(
            f"The connection `{conn_id}` has a field {unknown[0]!r} that Kinetic does not know.",
            advice=_near(unknown[0], FIELDS),
        )
    return {name: value for name, value in raw.items() if value is not None and value != ""}


def _of_images(overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a task says of its own build; its other arguments are judged by ``model/parameters.py``."""
    names = _IMAGES - {"base_image_repo"}
    return {name: value for name, value in (overrides or {}).items() if name in names and value is not None}


def _platform(value: Any, conn_id: str) -> Platform:
    if value is None:
        raise ConnectionError_(f"The connection `{conn_id}` says no `platform`.", advice=how_to_connect(conn_id))
    for platform in get_args(Platform):
        if value == platform:
            return platform  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"The connection `{conn_id}` has the `platform` {value!r}, which does not exist.",
        advice=_near(str(value), PLATFORMS),
    )


def _check_honoured(given: Mapping[str, Any], platform: Platform, emulate: bool) -> None:
    """What the platform cannot honour is an error, never ignored (docs/parameters.md)."""
    if platform == "local":
        honoured = _EVERYWHERE | _LOCAL | (_CLOUD if emulate else frozenset())
        advice = "Remove it, or set `emulate_accelerators` to accept what only a cloud platform has."
    else:
        honoured = _EVERYWHERE | _CLOUD - (_KUBERNETES if platform == "gke" else _GKE)
        advice = "Remove it from the connection."
    # An untouched check box and its default say nothing.
    stray = sorted(name for name in set(given) - honoured if given[name] is not False)
    if stray:
        raise ConfigurationError(f"The platform {platform!r} cannot honour the field `{stray[0]}`.", advice=advice)


def _check_boundary(given: Mapping[str, Any], overrides: Mapping[str, Any], platform: Platform, conn_id: str) -> None:
    """Credentials go to the clusters of the connection alone, whatever a task or the handle of a job says.

    On GKE any project whose cluster the credentials may look up would be sent a token, so the project that the
    connection names is the limit. On ``kubernetes`` the kubeconfig says where the server is, so another
    name of the cluster means that the wrong connection was taken.
    """
    name = _BOUNDARY.get(platform)
    if name is None or name not in given or overrides.get(name) in (None, given[name]):
        return
    raise ConfigurationError(
        f"The connection `{conn_id}` is for the {name} {given[name]!r}, not for {overrides[name]!r}.",
        advice=f"Pass a `kinetic_conn_id` of that {name}, or leave `{name}` out of the connection: then any will do.",
    )


def _location(name: str, value: str, scheme: str) -> str:
    """A folder as URI of the scheme; on this machine an absolute path will do."""
    if scheme == "file" and value.startswith("/"):
        return path_to_uri(value)
    allowed = "an absolute path or a file:// URI" if scheme == "file" else f"a {scheme}:// URI"
    if not value.startswith(f"{scheme}://"):
        raise _bad(name, value, f"{allowed} on this platform")
    if scheme != "file":
        return value.rstrip("/")
    try:
        return path_to_uri(uri_to_path(value))
    except ValueError:
        raise _bad(name, value, f"{allowed} on this platform") from None


def _bucket(given: str | None, derived: str) -> str:
    bucket = given.removeprefix("gs://").rstrip("/") if given else derived
    if not _BUCKET.fullmatch(bucket):
        raise _bad("bucket", given or bucket, "the name of a bucket, without a folder")
    if not given and len(bucket) > 63:
        raise ConfigurationError(
            f"The bucket {bucket!r} (of `project` and `cluster`) has {len(bucket)} characters; 63 are allowed.",
            advice="Use a shorter `cluster` name, or name the `bucket` in the connection.",
        )
    return bucket


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    """JSON gives a boolean, a connection URI gives text."""
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[str(value).lower()]
    except KeyError:
        raise _bad(name, value, "true or false") from None


def _max_parallel(value: Any) -> int | None:
    if value is None:
        return None
    text = "" if isinstance(value, bool) else str(value)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise _bad("max_parallel", value, "a whole number of 1 or more")
    return int(text)


def _bad(name: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"`{name}` is {value!r}; it must be {allowed}.",
        advice=f"Correct `{name}` in the connection or in the operator's argument.",
    )


def _near(word: str, known: frozenset[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word.lower(), sorted(known), n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(sorted(known))}."
