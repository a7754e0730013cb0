"""Images of the local platform: one virtual environment for each content, under the tag that the image has in a cloud.

An environment is made where it stays, ``{root}/{tag}``, because its scripts name their interpreter by
absolute path. A process of its own builds it (``local_process``), so whoever starts a build may die.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from airflow_provider_kinetic.builders.dockerfile import image_request
from airflow_provider_kinetic.builders.environments import interpreter_of
from airflow_provider_kinetic.builders.local_process import spawn
from airflow_provider_kinetic.builders.local_record import BUILDS, BuildRecord, Order, lock_of
from airflow_provider_kinetic.builders.local_seal import facts, remove, size_of
from airflow_provider_kinetic.builders.locks import this_process, try_lock, unlock
from airflow_provider_kinetic.job.storage import path_to_uri, uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError
from airflow_provider_kinetic.model.images import (
    Build,
    BuildOptions,
    BuildState,
    BuildStatus,
    BuiltImage,
    Image,
    ImageRequest,
)

BASE_PACKAGES = ("jax", "keras", "cloudpickle", "google-cloud-storage")
"""What the bundled image holds before the user's requirements (contract 4.3, step 5).

All of it, also when the user lists requirements: a function that imports Keras without naming it works on GKE, where
the image has it, so it has to work here. Beside JAX the rest is small. This machine runs every category on its CPU,
hence plain ``jax`` for all three; upstream's own package is left out because our runner does not need it.
"""

_TAG = re.compile(r"(?:cpu|gpu|tpu)-[0-9a-f]{12}")
_POLL = 0.01


class LocalBuilder:
    """Makes virtual environments below ``root``, with the interpreter that runs this code.

    :param base_packages: installed before the requirements. Others than ours enter the tag.
    :param options: of the image that has the same tag; ``timeout`` counts here too.
    """

    def __init__(
        self,
        root: Path,
        base_packages: Sequence[str] = BASE_PACKAGES,
        *,
        options: BuildOptions | None = None,
    ) -> None:
        self._root = root.absolute()
        self._base_packages = tuple(base_packages)
        self._options = options or BuildOptions()

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> ImageRequest:
        """The request of a submitter that runs this interpreter: the one that a cloud gets for the same image.

        :raises ConfigurationError: no such category.
        """
        options = replace(self._options, base_image=base_image or self._options.base_image)
        others = None if self._base_packages == BASE_PACKAGES else self._base_packages
        return image_request(category, requirements, _running_python(), options, others)

    def uri(self, request: ImageRequest) -> str:
        """The environment's folder."""
        return self.uri_of(request.tag)

    def uri_of(self, tag: str) -> str:
        """The same of a tag."""
        return path_to_uri(self._root / tag)

    def find(self, request: ImageRequest) -> Image | None:
        found = facts(self._root / request.tag)
        # A base image may leave the Python version open, an environment has one.
        if found is None or found.get("python", request.python) != request.python:
            return None
        return Image(uri=self.uri(request), cached=True)

    def start(self, request: ImageRequest, *, log: Callable[[str], None]) -> Build:
        """Join the build of this tag that runs, or start one; it needs nobody from then on.

        :raises ConfigurationError: the request is for another Python than the one that runs.
        :raises ImageError: the folder cannot be written to.
        """
        _check_python(request.python)
        with self._writing(request.tag):
            while True:
                lock = try_lock(lock_of(self._root, request.tag))
                if lock is not None:
                    return self._started(request, lock)
                running = BuildRecord.newest(self._root, request.tag)
                if running is not None and running.ended() is None:
                    return self._joined(running, log)
                time.sleep(_POLL)  # one has just ended, or begins at this moment

    def _started(self, request: ImageRequest, lock: int) -> Build:
        """With the lock in hand: nobody builds. It goes to the process, or back."""
        if self.find(request) is not None:
            unlock(lock)
            return Build(request.tag, self.uri(request), id="")
        try:
            order = Order(
                request=request,
                packages=self._base_packages,
                id=f"{request.tag}-{secrets.token_hex(4)}",
                timeout=self._options.timeout,
                by=this_process(),
            )
            record = BuildRecord.create(self._root, order)
            spawn(record, lock)
        finally:
            os.close(lock)  # never unlocked here: the process holds it as soon as there is one
        return self._build(record, order.id, started_by_us=True)

    def _joined(self, record: BuildRecord, log: Callable[[str], None]) -> Build:
        order = record.order()
        by = f" by {order.by}" if order else ""
        log(f"waiting for the build of tag {record.tag}{by}")
        return self._build(record, order.id if order else "", started_by_us=False)

    def _build(self, record: BuildRecord, build_id: str, *, started_by_us: bool) -> Build:
        return Build(
            tag=record.tag,
            uri=self.uri_of(record.tag),
            id=build_id,
            log_url=path_to_uri(record.log),
            place=path_to_uri(self._root),
            number=record.number,
            started_by_us=started_by_us,
        )

    def status(self, build: Build) -> BuildStatus:
        """One look at its files. A build that was killed counts as cancelled: who still wants it, demands it again."""
        record = BuildRecord(self._root, build.tag, build.number)
        ended = record.ended()
        if ended is None and record.running() and not record.superseded:
            return _orphaned(build, record) or BuildStatus(
                BuildState.WORKING, log_tail=record.tail(), log_url=build.log_url
            )
        state, message = ended or record.ended() or (None, "")
        if state in (None, BuildState.SUCCEEDED):
            return self._finished(build, record)
        return BuildStatus(state or BuildState.FAILED, message, record.tail(), build.log_url)

    def _finished(self, build: Build, record: BuildRecord) -> BuildStatus:
        if facts(record.environment) is None:
            message = f"The build of {build.tag} was killed, or its environment was removed"
            return BuildStatus(BuildState.CANCELLED, message, record.tail(), build.log_url)
        image = Image(build.uri, cached=not build.started_by_us, build_id=build.id, log_url=build.log_url)
        return BuildStatus(BuildState.SUCCEEDED, log_tail=record.tail(), log_url=build.log_url, image=image)

    def cancel(self, build: Build) -> None:
        """Ask the build to stop; it ends within a second or so. One that has ended stays as it is."""
        BuildRecord(self._root, build.tag, build.number).ask_to_stop()

    def named(self, container_image: str) -> Image:
        """A virtual environment or an interpreter on this machine: an absolute path or ``file://`` URI.

        The image's URI is that of what was named: a folder, or an executable file.
        """
        path = _path_of(container_image)
        interpreter = interpreter_of(path) if path.is_dir() else path
        if not interpreter.is_file() or not os.access(interpreter, os.X_OK):
            raise ConfigurationError(
                f"container_image={container_image!r}: there is no executable {interpreter}",
                advice="`container_image` names a virtual environment (a folder with bin/python) or a Python "
                "interpreter on the machine that runs the task.",
            )
        return Image(uri=path_to_uri(path), cached=True)

    def prebuilt(self, category: str, repository: str | None = None) -> Image:  # noqa: ARG002
        """:raises ConfigurationError: always; nobody publishes environments."""
        raise ConfigurationError(
            f"The local platform has no prebuilt image for {category}.",
            advice="Leave `container_image` out: an environment is then built from your requirements. Or set "
            "`emulate_accelerators` in the connection to have that happen for a DAG file that also runs elsewhere.",
        )

    def images(self) -> list[BuiltImage]:
        """Finished environments, newest first."""
        found = [self._described(folder) for folder in self._root.glob("[cgt]pu-*") if _TAG.fullmatch(folder.name)]
        return sorted(filter(None, found), key=lambda image: image.created or 0.0, reverse=True)

    def _described(self, environment: Path) -> BuiltImage | None:
        said = facts(environment)
        if said is None:
            return None
        return BuiltImage(
            tag=environment.name,
            uri=self.uri_of(environment.name),
            created=_seconds(said.get("created")),
            size=size_of(environment),
            requirements=said.get("requirements"),
        )

    def delete(self, tag: str) -> None:
        """Remove an environment and the records of its builds; absent is fine.

        :raises ConfigurationError: it is being built, or this is no tag.
        :raises ImageError: the folder cannot be written to.
        """
        if not _TAG.fullmatch(tag):
            raise ConfigurationError(f"{tag!r} is no tag of an image.", advice="See `airflow kinetic images list`.")
        with self._writing(tag):
            lock = try_lock(lock_of(self._root, tag))
            if lock is None:
                raise ConfigurationError(f"{tag} is being built.", advice="Wait for the end of the build.")
            try:
                remove(self._root / tag)
                shutil.rmtree(self._root / BUILDS / tag, ignore_errors=True)
            finally:
                unlock(lock)

    @contextlib.contextmanager
    def _writing(self, tag: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ImageError(
                f"Cannot write the environment {tag} below {self._root}: {error.strerror or error}",
                advice="Let the user that runs Airflow write there, free some space, or name another folder as "
                "`bucket` of the connection: environments lie in it.",
            ) from error


def _orphaned(build: Build, record: BuildRecord) -> BuildStatus | None:
    """A build that should have ended long ago was killed, and its installer hangs: nobody else would say so."""
    if not record.overdue:
        return None
    message = f"The process that built {build.tag} was killed, and its installer has not ended"
    advice = f"End whatever holds {record.lock} (`fuser {record.lock}` names it), then run the task again."
    return BuildStatus(BuildState.TIMED_OUT, message, record.tail(), build.log_url, advice=advice)


def _seconds(created: object) -> float | None:
    try:
        return datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return None


def _running_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _check_python(wanted: str) -> None:
    running = _running_python()
    if wanted != running:
        raise ConfigurationError(
            f"An environment for Python {wanted} was asked for, and this machine's Airflow runs {running}",
            advice=f"Run the task where Airflow runs Python {wanted}, or name an interpreter of that version with "
            "`container_image`.",
        )


def _path_of(container_image: str) -> Path:
    try:
        path = uri_to_path(container_image) if "://" in container_image else Path(container_image).expanduser()
    except ValueError:
        path = Path()
    if path.is_absolute():
        return path
    raise ConfigurationError(
        f"container_image={container_image!r}: the local platform runs Python interpreters, not container images",
        advice="Leave `container_image` out: an environment is then built from your requirements. Or name one that is "
        "there: the absolute path (or file:// URI) of a virtual environment or of a Python interpreter.",
    )
