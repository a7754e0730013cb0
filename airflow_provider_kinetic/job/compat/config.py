"""What a script says of itself, and the directory that follows from it (``checkpointing`` 1.1, 3.4).

In a job the task decides the directory. Elsewhere the external ids do: the same two ids are the same directory, so the
script goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Union

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.compat.advice import warn_once
from airflow_provider_kinetic.job.training.retention import Keep

Storage = Union[str, "os.PathLike[str]", Mapping[str, Any]]

FOLDER = "kinetic-output"
LONGEST = 100
"""Characters of an id in a path."""


@dataclass
class Config:
    """All of it is written down beside the trial; ids, ``hparams``, ``data`` and ``checkpoint_storage`` are used."""

    name: str | None = None
    hparams: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    description: str | None = None
    labels: list[str] | None = None
    workspace: str | None = None
    project: str | None = None
    checkpoint_storage: Storage | None = None
    """A folder, a ``gs://`` URI, or Determined's mapping of one of them."""
    searcher: dict[str, Any] | None = None
    external_experiment_id: str | None = None
    external_trial_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(Config)}


class DefaultConfig(Config):
    """Deprecated: use :class:`Config`."""

    def __init__(self, **options: Any) -> None:
        _deprecated("DefaultConfig")
        super().__init__(**options)


class UnmanagedConfig(Config):
    """Deprecated: use :class:`Config`."""

    def __init__(self, **options: Any) -> None:
        _deprecated("UnmanagedConfig")
        super().__init__(**options)


def _deprecated(what: str) -> None:
    warnings.warn(f"core_v2: deprecated: `{what}`; pass `config=core_v2.Config(...)`", FutureWarning, stacklevel=4)


def merged(config: Config | None, defaults: Config | None, unmanaged: Config | None) -> Config:
    """One of three: ``config``, else ``defaults`` filled up with ids, workspace and project of ``unmanaged``.

    :raises ValueError: there is neither, outside of a job.
    """
    if defaults is not None or unmanaged is not None:
        _deprecated("defaults` and `unmanaged")
    if config is not None:
        return config
    if defaults is None:
        if protocol.ENV_OUTPUT_DIR not in os.environ:
            raise ValueError("core_v2.init() needs `config`, as core_v2.Config(name=..., external_experiment_id=...)")
        defaults = Config()
    told = Config(**defaults.to_dict())
    for name in ("project", "workspace", "external_experiment_id", "external_trial_id"):
        setattr(told, name, getattr(told, name) or getattr(unmanaged, name, None))
    return told


def output_dir(config: Config, storage: Storage | None, processes: int = 1) -> str:
    """Where this trial lives.

    :param storage: stands before the one of ``config``.
    :raises NotImplementedError: integer ids, or a trial without its experiment, as in Determined.
    :raises ValueError: a storage that is neither a folder nor in Cloud Storage.
    """
    experiment, trial = _ids(config)
    storage = storage or config.checkpoint_storage
    given = os.environ.get(protocol.ENV_OUTPUT_DIR)
    if given:
        if storage:
            warn_once("core_v2: `checkpoint_storage` is not used: the output directory of this job is " + given)
        _compare(experiment, trial)
        return given
    if processes > 1 and trial is None:
        raise ValueError(
            f"core_v2: {processes} processes find each other by `external_experiment_id` and `external_trial_id`, or "
            f"by {protocol.ENV_OUTPUT_DIR}: give them one of the two"
        )
    experiment = experiment or config.name or "unnamed"
    trial = trial or f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"
    root = _root(storage) if storage else FOLDER
    return f"{root.rstrip('/')}/{segment(experiment)}/{segment(trial)}"


def keep(config: Config, storage: Storage | None) -> Keep:
    """Determined's own words for retention, where the storage is a mapping that has them; else two, the last ones."""
    told = storage or config.checkpoint_storage
    rules = told if isinstance(told, Mapping) else {}
    latest = max(1, int(rules.get("save_trial_latest", Keep().latest)))
    best, searcher = int(rules.get("save_trial_best", 0)), config.searcher or {}
    if not best:
        return Keep(latest)
    if "metric" not in searcher:
        raise ValueError("core_v2: `save_trial_best` needs Config(searcher={'metric': ...}): which metric is best?")
    mode = "min" if searcher.get("smaller_is_better", True) else "max"
    return Keep(latest, best=(str(searcher["metric"]), best, mode))


def segment(text: str) -> str:
    """An id as part of a path: readable, and another one for each id."""
    safe = re.sub(r"[^A-Za-z0-9_.=-]", "-", text)[:LONGEST].strip(".") or "-"
    return text if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _ids(config: Config) -> tuple[str | None, str | None]:
    experiment, trial = config.external_experiment_id, config.external_trial_id
    for name, each in (("external_experiment_id", experiment), ("external_trial_id", trial)):
        if each is not None and not isinstance(each, str):
            raise NotImplementedError(f"core_v2: `{name}` is a text, not {each!r}")
    if trial is not None and experiment is None:
        raise NotImplementedError("core_v2: `external_trial_id` needs `external_experiment_id`")
    return experiment, trial


def _compare(experiment: str | None, trial: str | None) -> None:
    """With what the task says of this job."""
    try:
        told = json.loads(os.environ.get(protocol.ENV_TRIAL) or "{}")
        names = told.get("experiment"), told.get("trial")
    except (ValueError, AttributeError):
        return
    asked = [("experiment", experiment, names[0]), ("trial", trial, names[1])]
    other = [(name, ours, theirs) for name, ours, theirs in asked if ours and theirs and ours != theirs]
    if other:
        words = ", and its ".join(f"{name} is {theirs!r}, not {ours!r}" for name, ours, theirs in other)
        wish = ", ".join(f"{name}={ours!r}" for name, ours, _ in other)
        warn_once(
            f"core_v2: this job's {words}: its task decides where it goes on. The external ids are only written down; "
            f"to go on by them in every run, give the task {wish}."
        )


def _root(storage: Storage) -> str:
    if isinstance(storage, Mapping):
        return _mapped(storage)
    text = os.fspath(storage)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme not in ("", "gs", "file"):
        raise ValueError(f"core_v2: `checkpoint_storage` is a folder or gs://bucket/folder, not {text!r}")
    return text if scheme else str(Path(text).expanduser())


def _mapped(storage: Mapping[str, Any]) -> str:
    kind = storage.get("type")
    if kind == "gcs" and storage.get("bucket"):
        return "/".join(["gs:/", str(storage["bucket"]), str(storage.get("prefix") or "").strip("/")]).rstrip("/")
    folder = storage.get("container_path" if kind == "directory" else "host_path")
    if kind in ("directory", "shared_fs") and folder:
        return str(Path(str(folder)) / str(storage.get("storage_path") or ""))
    raise ValueError(
        f"core_v2: `checkpoint_storage` of type {kind!r} is not kept here: name a folder or gs://bucket/folder"
    )
