"""Files of an output directory: what a page lists and what may be downloaded.

A download names a file by its path in the listing and is looked up there. What is not listed does not
exist, so no spelling of ``..`` leads anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.stores.base import ObjectInfo, Store

SHOWN = 1000
"""Files of one folder that a page shows; more would make it slow to read and to send."""


@dataclass(frozen=True)
class File:
    """``path`` is relative to the output directory, as in its URI; ``updated`` in Unix seconds."""

    path: str
    name: str
    """For people: relative to the folder that it is shown in."""
    size: int
    updated: float


@dataclass
class Folder:
    """A first-level folder with everything below it; the name of the output directory itself is empty."""

    name: str
    files: list[File] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def updated(self) -> float:
        return max((file.updated for file in self.files), default=0.0)

    @property
    def shown(self) -> list[File]:
        return self.files[:SHOWN]


@dataclass(frozen=True)
class Outputs:
    """The user's files, and apart from them the records under ``.kinetic``."""

    top: Folder
    folders: list[Folder]
    records: Folder

    @property
    def empty(self) -> bool:
        return not self.top.files and not self.folders


def listing(store: Store, output_dir: str) -> Outputs:
    """Everything under an output directory but log chunks, which have a page (and a permission) of their own."""
    by_name: dict[str, Folder] = {}
    for info in _files(store, output_dir):
        path = info.uri[len(output_dir) + 1 :]
        folder, slash, name = path.partition("/")
        shown_in = by_name.setdefault(folder if slash else "", Folder(folder if slash else ""))
        shown_in.files.append(File(path, for_people(info.uri, name or path), info.size, info.updated))
    records_name = TrialLayout(output_dir).records.rpartition("/")[2]
    top, records = by_name.pop("", Folder("")), by_name.pop(records_name, Folder(records_name))
    return Outputs(top, [by_name[name] for name in sorted(by_name)], records)


def find(store: Store, output_dir: str, path: str) -> ObjectInfo | None:
    """The listed file of that path; None where there is none."""
    uri = f"{output_dir}/{path}"
    return next((info for info in _files(store, output_dir) if info.uri == uri), None)


def for_people(uri: str, part: str) -> str:
    """A part of a URI as the name that the job gave it."""
    return unquote(part) if uri.startswith("file://") else part


def local_file(handle: JobHandle, uri: str) -> Path | None:
    """The file behind a listed URI of this machine; None where a symbolic link leads out of the directory."""
    path, root = uri_to_path(uri).resolve(), uri_to_path(str(handle.output_dir)).resolve()
    return path if path.is_relative_to(root) else None


def _files(store: Store, output_dir: str) -> list[ObjectInfo]:
    layout = TrialLayout(output_dir)
    jobs = layout.job("")[:-1]  # {output_dir}/.kinetic/jobs/
    return [info for info in store.list(f"{output_dir}/") if not _is_log_chunk(info.uri, jobs)]


def _is_log_chunk(uri: str, jobs: str) -> bool:
    return uri.startswith(jobs) and uri[len(jobs) :].partition("/")[2].startswith("logs/")
