"""The local platform: this machine as a cluster of one.

It is a real cluster and no stand-in: jobs are detached processes that outlive whoever created them, and everything
that is known of them is in files below one folder, so any worker, triggerer or shell that sees the folder sees the
same jobs. There is no server: each job has a node of its own (``local_node``).
"""

from __future__ import annotations

import argparse
import builtins
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow_provider_kinetic.clusters import local_folder
from airflow_provider_kinetic.clusters.base import JobExists, JobSummary
from airflow_provider_kinetic.clusters.local_node import files
from airflow_provider_kinetic.clusters.local_record import Record, read, status_of
from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.model.errors import ClusterError, JobNotFound
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobState, JobStatus

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAIL_BYTES = 1 << 20
_POLL = 0.02
_LEAVING = 1.0
_LEAST_FREE = 100 << 20


def interpreter_of(image: str) -> Path:
    """The interpreter of an image: ``file:///…`` of a virtual environment or of an interpreter itself.

    :raises ClusterError: it is an image of another kind.
    """
    parts = urlsplit(image)
    if parts.scheme != "file":
        raise ClusterError(
            f"The local platform cannot run the image {image!r}.",
            advice="Leave `container_image` out, or give a `file://` URI of a virtual environment or an interpreter.",
        )
    path = Path(unquote(parts.path))
    return path if path.is_file() else path / "bin" / "python"


class LocalCluster:
    """Runs jobs as processes of this machine, below ``root``.

    ``max_parallel`` jobs run at once, the others wait; None means no limit. ``interpreter`` maps the manifest's
    image to the program that ``python3`` stands for.
    """

    def __init__(
        self, root: Path, *, max_parallel: int | None = None, interpreter: Callable[[str], Path] = interpreter_of
    ) -> None:
        self.root = root.absolute()
        self.max_parallel = max_parallel
        self.interpreter = interpreter

    def create(self, manifest: JobManifest, *, secrets: Mapping[str, str] | None = None) -> None:
        """Start it (``Cluster.create``). It returns once the node is on its way, some milliseconds before the job."""
        folder = self._folder(manifest.namespace, manifest.name)
        order = self._order(manifest)
        with _failures(f"The job {manifest.name} could not be created below {self.root}"):
            local_folder.sweep(self.root)
            try:
                owner = local_folder.publish(folder, order, secrets or {})
            except FileExistsError as exists:
                local_folder.start_forgotten(folder)
                raise JobExists(manifest.name) from exists
            try:
                local_folder.start_node(folder, owner)
            finally:
                os.close(owner)

    def status(self, handle: JobHandle) -> JobStatus:
        """State of the job (``Cluster.status``), from a few small files: some tenths of a millisecond."""
        return status_of(self._look(self._folder_of(handle)))

    def annotations(self, handle: JobHandle) -> Mapping[str, str] | None:
        """What the manifest said (``Cluster.annotations``)."""
        record = self._look(self._folder_of(handle))
        return None if record is None else dict(record.order["manifest"]["annotations"])

    def delete(self, handle: JobHandle, *, wait: float = 0.0) -> bool:
        """Stop and remove (``Cluster.delete``): SIGTERM, the manifest's grace, SIGKILL, then the folder goes."""
        folder = self._folder_of(handle)
        started = time.monotonic()
        give_up = started + wait
        with _failures(f"The job {handle.k8s_name} could not be deleted"):
            while (record := read(folder)) is not None:
                if not record.alive and self._removed(folder):
                    return True
                if record.final:  # its node is about to leave
                    give_up = max(give_up, started + _LEAVING)
                elif not record.deletion_asked:
                    _request(folder, files.STOP, "")
                    local_folder.nudge(folder, record)
                if time.monotonic() >= give_up:
                    return False
                time.sleep(_POLL)
        return True

    def tail(self, handle: JobHandle, lines: int = 100) -> str:
        """Last lines of the newest attempt (``Cluster.tail``), of at most its last MiB."""
        folder = self._folder_of(handle)
        record = self._look(folder)
        if record is None or lines <= 0:
            return ""
        try:
            with (folder / files.OUTPUT).open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(record.state.get("offset", 0), end - _TAIL_BYTES))
                output = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return ""
        return b"".join(output[-lines:]).decode("utf-8", "replace")

    def list(self, *, everywhere: bool = False) -> builtins.list[JobSummary]:  # noqa: ARG002 (one folder, one owner)
        """Every job below the root, newest first (``Cluster.list``)."""
        found: builtins.list[tuple[float, JobSummary]] = []
        with _failures(f"{self.root} could not be listed"):
            for folder in self.root.glob("[!.]*/[!.]*"):
                record = self._look(folder)
                if record is not None:
                    found.append((record.order["created_at"], _summary(record)))
        return [summary for _, summary in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def check(self) -> str:
        """What was found, for the connection test (``Cluster.check``)."""
        with _failures(f"{self.root} cannot be written to", advice="Name another `bucket` in the connection."):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            files.write_text(probe, "")
            probe.unlink()
            free = shutil.disk_usage(self.root).free
        if free < _LEAST_FREE:
            raise ClusterError(
                f"Only {free >> 20} MiB are free below {self.root}.",
                advice="Make room, or name a `bucket` on another disk in the connection.",
            )
        limit = "any number of jobs" if self.max_parallel is None else f"at most {self.max_parallel} jobs"
        return f"{self.root} is writable, {free / (1 << 30):.1f} GiB are free, {limit} at once"

    def preempt(self, name: str, *, namespace: str | None = None, hard: bool = False) -> None:
        """Take the machine away from a running job, which starts again as its next attempt.

        The process gets SIGTERM and the manifest's grace, or with ``hard`` SIGKILL at once. It returns when the
        job has been told, not when it has ended.

        :raises JobNotFound: there is no job of that name.
        :raises ClusterError: it does not run at the moment.
        """
        with _failures(f"The job {name} could not be preempted"):
            for folder in self._folders_named(name, namespace):
                record = self._look(folder)
                status = status_of(record)
                if record is None or status.state is not JobState.RUNNING:
                    raise ClusterError(
                        f"The job {name} cannot be preempted: it is {status.state.value}.",
                        advice="Wait until it runs: `airflow kinetic jobs status` shows its state.",
                    )
                _request(folder, files.PREEMPT, "hard" if hard else "soft")
                local_folder.nudge(folder, record)
                return
        raise JobNotFound(
            f"There is no job {name} below {self.root}.", advice="`airflow kinetic jobs list` shows those there are."
        )

    def _order(self, manifest: JobManifest) -> dict[str, object]:
        """What the node must know, so that it knows nothing by itself."""
        command = builtins.list(manifest.command)
        interpreter = str(self.interpreter(manifest.image))
        if command[:1] == ["python3"]:
            command[0] = interpreter
        return {
            "manifest": manifest.to_dict(),
            "argv": command,
            "interpreter": interpreter,
            "env": dict(manifest.env),
            "created_at": time.time(),
            "stop_grace": manifest.stop_grace,
            "active_deadline": manifest.active_deadline,
            "slots": self.max_parallel,
            "final_exits": list(protocol.FINAL_EXITS),
            "termination_variable": protocol.ENV_TERMINATION_LOG,
        }

    def _look(self, folder: Path) -> Record | None:
        """The record, after what others left undone was done: a node not started, a deletion not finished."""
        with _failures(f"The job in {folder} could not be read"):
            record = read(folder)
            if record is None or record.alive:
                return record
            if record.deletion_asked:
                return None if self._removed(folder) else read(folder)
            if not record.begun:
                local_folder.start_forgotten(folder)
            elif record.lost:
                local_folder.kill_remains(folder, record)
            return record

    @staticmethod
    def _removed(folder: Path) -> bool:
        """Remove the folder if nobody owns it; True when it is gone."""
        with local_folder.owned(folder) as owner:
            if owner is not None:
                record = read(folder)
                if record is not None:
                    local_folder.kill_remains(folder, record)
                files.discard(folder)
        return not folder.exists()

    def _folder_of(self, handle: JobHandle) -> Path:
        return self._folder(handle.namespace, handle.k8s_name)

    def _folder(self, namespace: str, name: str) -> Path:
        for part in (namespace, name):
            if not _NAME.fullmatch(part):
                raise ClusterError(f"{part!r} cannot be the name of a job or a namespace on the local platform.")
        return self.root / namespace / name

    def _folders_named(self, name: str, namespace: str | None) -> Iterator[Path]:
        if namespace is not None:
            candidates = [self._folder(namespace, name)]
        else:
            candidates = [place / name for place in self.root.glob("[!.]*") if _NAME.fullmatch(name)]
        return (folder for folder in candidates if folder.is_dir())


def _request(folder: Path, name: str, text: str) -> None:
    try:
        files.write_text(folder / name, text)
    except FileNotFoundError:  # the job is gone: nothing is left to ask for
        return


def _summary(record: Record) -> JobSummary:
    manifest = record.order["manifest"]
    return JobSummary(
        name=manifest["name"],
        job_id=manifest["job_id"],
        status=status_of(record),
        labels=manifest["labels"],
        annotations=manifest["annotations"],
        namespace=manifest["namespace"],
        images=(manifest["image"],),
    )


@contextmanager
def _failures(summary: str, advice: str = "Look at the rights and the free space of that folder.") -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        raise ClusterError(f"{summary}: {failed}.", advice=advice) from failed


def main(argv: list[str] | None = None) -> None:
    """``python -m airflow_provider_kinetic.clusters.local preempt --root DIR --name NAME [--hard]``."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_kinetic.clusters.local")
    preempt = parser.add_subparsers(required=True).add_parser("preempt", help="take the machine away from a job")
    preempt.add_argument("--root", type=Path, required=True, help="folder of the local cluster")
    preempt.add_argument("--name", required=True, help="name of the job object: kinetic-job-…")
    preempt.add_argument("--hard", action="store_true", help="without a chance to save anything")
    given = parser.parse_args(argv)
    LocalCluster(given.root).preempt(given.name, hard=given.hard)


if __name__ == "__main__":
    main()
