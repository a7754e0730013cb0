"""The data that a job takes along: from ``Data`` in arguments and ``volumes`` to what stands in payload and manifest.

In steps, because the last one costs time and money: what can be wrong in the DAG file is found first, and nothing is
sent before the function and its arguments are known to be fit to travel.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job.links import obstacle
from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.data_layout import DataLocation
from airflow_provider_kinetic.model.errors import ConfigurationError, UnsupportedParameter
from airflow_provider_kinetic.model.mounts import FuseMount
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.model.volumes import normal
from airflow_provider_kinetic.packaging.data_arguments import DataArguments, refuse_template
from airflow_provider_kinetic.packaging.data_tree import look
from airflow_provider_kinetic.stores.base import Store

Say = Callable[[str], None]

_NO_HASH = "0" * 64


@dataclass(frozen=True)
class Shipped:
    """The call as the job gets it, with references in the place of ``Data``, and what its machine has to mount."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    has_references: bool = False
    """Among the arguments; volumes do not count (contract 6.1)."""
    volumes: tuple[DataReference, ...] = ()
    mounts: tuple[FuseMount, ...] = ()
    """Those of volumes first, then those of arguments (contract 3.3)."""


class Inputs:
    """What one submission needs. Nothing is looked at but the values themselves.

    :raises ConfigurationError: a ``Data`` where none can be, one that was not rendered, or a volume at a path of this
        machine that is taken.
    :raises UnsupportedParameter: ``fuse`` where the platform cannot mount.
    """

    def __init__(self, target: Target, work: Work, say: Say) -> None:
        self._target = target
        self._say = say
        self._arguments = DataArguments(work.args, work.kwargs)
        self._volumes = {normal(path): data for path, data in work.spec.volumes.items()}
        self.places = {**{f"volume {path!r}": data for path, data in self._volumes.items()}, **self._arguments.places}
        """Every use of data, under the words for it."""
        for where, data in self.places.items():
            refuse_template(data, where)
            _check_fuse(target, where, data)
        for path in self._volumes if target.platform == "local" else ():
            _check_link(path)

    def ship(self, store: Store) -> Shipped:
        """Send what is not there yet.

        :raises ConfigurationError: data is missing, unreadable, or cannot be stored.
        :raises InfrastructureError: the store failed, or files changed meanwhile.
        """
        from airflow_provider_kinetic.lifecycle.data import ship  # only jobs with data pay for it

        for where, data in self.places.items():
            if data.fuse and not self._is_mounted(data):
                self._say(f"{where}: this machine has no FUSE, {data.path} is downloaded instead.")
        here = {data: _here(data) for data in self.places.values() if self._is_here(data)}
        away = {where: data for where, data in self.places.items() if data not in here}
        return self._with({**here, **ship(store, self._target, away, self._say)}, self._say)

    def foreseen(self) -> Shipped:
        """The same before anything is sent, under made-up hashes. Without data it is the call itself.

        :raises ConfigurationError: local data is not there; what is in a folder is for :meth:`ship` to see.
        """
        return self._with({data: self._made_up(data) for data in self.places.values()}, lambda _: None)

    def _with(self, references: Mapping[Data, DataReference], warn: Say) -> Shipped:
        arguments = {
            data: self._placed(data, references[data], self._arguments.mounts.get(data))
            for data in self._arguments.data
        }
        volumes = [
            (data, replace(self._placed(data, references[data], path), mount_path=path))
            for path, data in self._volumes.items()
        ]
        args, kwargs = self._arguments.with_references(arguments, warn)
        return Shipped(
            args,
            kwargs,
            has_references=bool(arguments),
            volumes=tuple(reference for _, reference in volumes),
            mounts=tuple(self._mounts([*volumes, *arguments.items()])),
        )

    def _placed(self, data: Data, reference: DataReference, mount_path: str | None) -> DataReference:
        mounted = self._is_mounted(data)
        return replace(reference, fuse=mounted, mount_path=mount_path if mounted else None)

    def _is_mounted(self, data: Data) -> bool:
        """On this machine a link does what a mount does, and nothing does so for a bucket."""
        return data.fuse and not (self._target.platform == "local" and data.kind == "gs")

    def _is_here(self, data: Data) -> bool:
        """The job sees the very files: nothing needs to be sent."""
        return data.fuse and data.kind == "local" and self._target.platform == "local"

    def _mounts(self, placed: list[tuple[Data, DataReference]]) -> Iterator[FuseMount]:
        for data, reference in placed if self._target.platform == "gke" else ():
            if reference.fuse and reference.mount_path is not None:
                alone = data.kind == "local" and not reference.is_dir
                # An uploaded file lies below its reference; what is mounted is the folder of the object named here.
                uri = f"{reference.uri}/{data.local_path.name}" if alone else reference.uri
                yield FuseMount(reference.mount_path, uri, reference.is_dir)

    def _made_up(self, data: Data) -> DataReference:
        if data.kind != "local":
            return DataReference(data.path, is_dir=bool(data.is_folder), fuse=data.fuse)
        return replace(_here(data), uri=DataLocation(self._target.store_root, _NO_HASH).uri)


def _here(data: Data) -> DataReference:
    folder = stat.S_ISDIR(look(data.local_path).st_mode)
    return DataReference(path_to_uri(str(data.local_path)), is_dir=folder, fuse=data.fuse)


def _check_link(path: str) -> None:
    reason = obstacle(Path(path))
    if reason:
        raise ConfigurationError(
            f"`volumes`: {path!r} cannot be made on this machine: {reason}.",
            advice="A local job shares this machine's folders: a volume is a link there while it runs. Choose a free "
            "path in a folder that can be written to, or pass the Data as an argument, which needs no path.",
        )


def _check_fuse(target: Target, where: str, data: Data) -> None:
    if not data.fuse:
        return
    if target.platform == "gke":
        _check_folder(where, data)
        return
    if target.platform == "kubernetes":
        raise UnsupportedParameter(
            f"{where} asks for FUSE, which the platform 'kubernetes' cannot honour: GKE alone has the driver for it.",
            advice="Leave `fuse` out: the job then downloads the data. Or pass a `kinetic_conn_id` of a GKE cluster.",
        )
    if data.kind == "gs" and not target.emulate_accelerators:
        raise UnsupportedParameter(
            f"{where} asks for FUSE, and this machine mounts no bucket: {data.path}.",
            advice="Leave `fuse` out: the job then downloads the data. Or set `emulate_accelerators` in the connection "
            "to have that happen for a DAG file that also runs elsewhere.",
        )


def _check_folder(where: str, data: Data) -> None:
    """The driver takes mount options apart at commas, which nothing escapes, and one with a colon for something else
    than ``only-dir``: it would show another folder (``prepareMountArgs`` of its ``sidecar_mounter_config.go``).
    """
    folder = FuseMount("/", data.path, bool(data.is_folder)).folder if data.kind == "gs" else ""
    bad = next((letter for letter in ",:" if letter in folder), "")
    if bad:
        raise ConfigurationError(
            f"{where}: GKE's driver cannot mount the folder {folder!r} of {data.path}: there is a {bad!r} in its name.",
            advice="Leave `fuse` out: the job then downloads the data. Or name the folder without commas and colons, "
            "like {{ ts_nodash }} in the place of {{ ts }}.",
        )
