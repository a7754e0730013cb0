"""Data that a job reads: the user names it in a DAG file, the function sees a plain path.

A DAG file is parsed where the data does not exist, so a ``Data`` is a value and nothing more: no disk and no network.
Airflow renders it with the arguments of the task, XCom carries it, and what it names is looked at on the worker when
the task runs. It also travels to the job, in closures: standard library only, CPython ≥ 3.9.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from airflow_provider_kinetic.job.references import HubDataset
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError

Kind = Literal["local", "gs", "hf"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_TEMPLATE = re.compile(r"\{[{%#]")
_MAX_OBJECT_NAME = 1024

_KINDS = "Name a local file or folder, `gs://bucket/object`, `gs://bucket/prefix/` or `hf://dataset`."
_HUB_FORM = "Write `hf://owner/name`, and after a `?` any of `split=`, `config_name=`, `revision=`, joined by `&`."


@dataclass(frozen=True, init=False)
class Data:
    """A file, folder or dataset for a job (contract 11.1): an argument of the function, or a volume.

    ``Data("/data/digits")`` is uploaded once per content; ``Data("gs://acme/digits/")`` is a prefix because of its
    final slash, ``Data("gs://acme/weights.h5")`` one object; ``Data("hf://mnist?split=train")`` is loaded in the job.
    Templates are rendered when the task runs: ``Data("gs://acme/{{ ds }}/")``.

    :param path: text or a path. A relative path and ``~`` are those of the worker that runs the task.
    :param fuse: mount instead of download; files are fetched as they are read.
    :param hf_trust_remote_code: let a dataset of the hub run its own loading code in the job.
    :raises ConfigurationError: neither a local path nor ``gs://`` nor ``hf://``, or a name that cannot exist there.
    """

    path: str
    fuse: bool
    hf_trust_remote_code: bool

    __version__: ClassVar[int] = 1
    """Of the XCom form, for Airflow's serializer."""

    def __init__(self, path: str | os.PathLike[str], fuse: bool = False, hf_trust_remote_code: bool = False) -> None:
        object.__setattr__(self, "path", _text(path))
        object.__setattr__(self, "fuse", bool(fuse))
        object.__setattr__(self, "hf_trust_remote_code", bool(hf_trust_remote_code))
        self._check()

    @property
    def is_template(self) -> bool:
        """Not rendered yet; of a template only what stands outside of braces has been checked."""
        return bool(_TEMPLATE.search(self.path))

    @property
    def kind(self) -> Kind:
        """Known for certain once it is rendered."""
        scheme = _scheme(self.path)
        return "gs" if scheme == "gs" else "hf" if scheme == "hf" else "local"

    @property
    def is_folder(self) -> bool | None:
        """Whether a folder is named; None for local data, of which only the disk knows."""
        return None if self.kind == "local" else self.kind == "hf" or self.path.endswith("/")

    @property
    def local_path(self) -> Path:
        """Absolute, ``~`` expanded, links kept as they are: a link's own name is the file's name (contract 11.2).

        :raises ValueError: this is not local data.
        :raises ConfigurationError: ``~name`` of a user whom this machine does not know.
        """
        if self.kind != "local":
            raise ValueError(f"{self.path} is not on this machine")
        try:
            path = uri_to_path(self.path) if _scheme(self.path) == "file" else Path(self.path).expanduser()
        except RuntimeError as error:
            user = self.path.partition("/")[0]
            raise ConfigurationError(
                f"Data path {self.path}: the worker {socket.gethostname()} knows no home folder {user}.",
                advice="Write the whole path.",
            ) from error
        return Path(os.path.abspath(path))  # noqa: PTH100 (keeps symlinks)

    @property
    def hub(self) -> HubDataset:
        """:raises ValueError: this is no dataset of the hub."""
        return HubDataset.parse(self.path)

    def resolve(self, context: Mapping[str, Any]) -> Data:
        """The rendered value. Airflow calls this on arguments, in containers too, right before the task runs.

        A new value, because one DAG file's object serves every task instance of a process.

        :raises ConfigurationError: what the template gave cannot be used.
        """
        if not self.is_template:
            return self
        return replace(self, path=context["task"].render_template(self.path, context))

    def serialize(self) -> dict[str, Any]:
        """Plain JSON, for XCom and for the arguments that Airflow shows; Airflow's serializer calls this."""
        return {"path": self.path, "fuse": self.fuse, "hf_trust_remote_code": self.hf_trust_remote_code}

    @staticmethod
    def deserialize(data: Mapping[str, Any], version: int = 1) -> Data:
        """The value behind :meth:`serialize`.

        :raises ConfigurationError: written by a newer version, or not by :meth:`serialize` at all.
        """
        if version > Data.__version__:
            raise ConfigurationError(
                f"A Data value of version {version} cannot be read; this provider knows version {Data.__version__}.",
                advice="Run the same version of airflow_provider_kinetic on all workers.",
            )
        try:
            return Data(**data)
        except TypeError as error:
            raise ConfigurationError(f"{data!r} is not a Data value.") from error

    def _check(self) -> None:
        if not self.path:
            raise ConfigurationError("Data names nothing: its path is empty.", advice=_KINDS)
        scheme = _scheme(self.path)
        if scheme not in (None, "gs", "hf", "file"):
            raise ConfigurationError(f"Data cannot be read from {scheme}:// ({self.path}).", advice=_KINDS)
        if scheme == "hf" and self.fuse:
            raise ConfigurationError(
                f"{self.path} cannot be mounted: a dataset of the hub is not in a bucket.",
                advice="Leave `fuse` out, or copy the dataset to a bucket and name it there.",
            )
        if not self.is_template:
            self._check_name(scheme)

    def _check_name(self, scheme: str | None) -> None:
        if "\0" in self.path:
            raise ConfigurationError(f"{self.path!r} holds a NUL, which no file or object name may.")
        if scheme == "gs":
            _check_object(self.path)
        try:
            if scheme == "hf":
                HubDataset.parse(self.path)
            elif scheme == "file":
                uri_to_path(self.path)
        except ValueError as error:
            advice = _HUB_FORM if scheme == "hf" else "Write `file:///folder/name`, or the path alone."
            raise ConfigurationError(f"{error}.", advice=advice) from error


def _text(path: object) -> str:
    value = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(value, str):
        raise ConfigurationError(
            f"Data takes the text of a path or URI, not {type(path).__name__}.",
            advice="For what an upstream task returns, let that task return the Data, or name its XCom in a template: "
            "Data(\"{{ ti.xcom_pull(task_ids='prepare') }}\").",
        )
    return value


def _scheme(path: str) -> str | None:
    match = _SCHEME.match(path)
    return match[1] if match else None


def _check_object(uri: str) -> None:
    bucket, slash, name = uri[len("gs://") :].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(f"{uri!r}: {bucket!r} is no name of a bucket.", advice=_KINDS)
    if not slash:
        raise ConfigurationError(
            f"{uri} names a bucket, neither an object nor a prefix.",
            advice=f"Write {uri}/ for everything in the bucket.",
        )
    check_object_name(name, uri)


def check_object_name(name: str, what: str) -> None:
    """Cloud Storage's rules for names of objects (its documentation, "Object name requirements").

    :param what: said in the error: where the name comes from.
    :raises ConfigurationError: no object can have this name.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        reason = "is not UTF-8"
    else:
        if size <= _MAX_OBJECT_NAME and not re.search(r"[\r\n]", name) and name not in (".", ".."):
            return
        reason = f"has {size:,} bytes, more than {_MAX_OBJECT_NAME:,}" if size > _MAX_OBJECT_NAME else "is not allowed"
    raise ConfigurationError(
        f"{what!r}: Cloud Storage cannot hold an object of this name, which {reason}.",
        advice="Names of objects are UTF-8 of at most 1,024 bytes, without line ends. Rename the file.",
    )
