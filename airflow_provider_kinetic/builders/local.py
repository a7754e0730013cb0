"""Images of the local platform: one virtual environment for each content.

An environment is made where it stays, ``{root}/{tag}``, because its scripts name their interpreter by
absolute path. It counts as finished when ``kinetic-image.json`` is in it, written last; a folder without
it is what a killed build left, and the next builder, holding the lock of the tag, starts over.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from airflow_provider_kinetic.builders.environments import Run, find_installer, interpreter_of
from airflow_provider_kinetic.builders.locks import exclusive
from airflow_provider_kinetic.job.storage import FileStorage, path_to_uri, uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError
from airflow_provider_kinetic.model.images import Image, ImageRequest

BASE_PACKAGES = ("jax", "keras", "cloudpickle", "google-cloud-storage")
"""What the bundled image holds before the user's requirements (contract 4.3, step 5).

All of it, also when the user lists requirements: a function that imports Keras without naming it works on GKE, where
the image has it, so it has to work here. Beside JAX the rest is small. This machine runs every category on its CPU,
hence plain ``jax`` for all three; upstream's own package is left out because our runner does not need it.
"""

METADATA = "kinetic-image.json"
BUILD_TIMEOUT = 1200.0
"""Seconds for one installer command, upstream's limit for a whole build (contract 4.7)."""

_CATEGORIES = ("cpu", "gpu", "tpu")


def local_recipe(category: str, base_packages: Sequence[str] = BASE_PACKAGES) -> str:
    """What an environment of this category holds before the requirements: a package a line.

    :raises ConfigurationError: no such category.
    """
    if category not in _CATEGORIES:
        raise ConfigurationError(
            f"No image category {category!r}", advice=f"The categories are {', '.join(_CATEGORIES)}: see `accelerator`."
        )
    return "".join(f"{package}\n" for package in base_packages)


def request_for(category: str, requirements: str, base_packages: Sequence[str] = BASE_PACKAGES) -> ImageRequest:
    """The request of a submitter that runs this interpreter; ``requirements`` is the filtered text."""
    return ImageRequest(
        category=category,
        python=_running_python(),
        base_image=f"python:{_running_python()}-slim",
        requirements=requirements,
        dockerfile=local_recipe(category, base_packages),
    )


class LocalBuilder:
    """Makes virtual environments below ``root``, with the interpreter that runs this code.

    What is installed is what the request says, its recipe and its requirements, so content and tag cannot differ;
    ``base_packages`` enters through :meth:`request_for`.
    """

    def __init__(
        self, root: Path, base_packages: Sequence[str] = BASE_PACKAGES, *, timeout: float = BUILD_TIMEOUT
    ) -> None:
        self._root = root.absolute()
        self._base_packages = tuple(base_packages)
        self._timeout = timeout

    def request_for(self, category: str, requirements: str) -> ImageRequest:
        """See :func:`request_for`."""
        return request_for(category, requirements, self._base_packages)

    def find(self, request: ImageRequest) -> Image | None:
        environment = self._root / request.tag
        # The interpreter is a link out of the environment: its target may have been uninstalled.
        if (environment / METADATA).is_file() and interpreter_of(environment).exists():
            return Image(uri=path_to_uri(environment), cached=True)
        return None

    def ensure(self, request: ImageRequest, *, log: Callable[[str], None]) -> Image:
        """See :class:`~airflow_provider_kinetic.builders.base.ImageBuilder`.

        :raises ConfigurationError: the request is for another Python than the one that runs.
        """
        found = self.find(request)
        if found is not None:
            return found
        _check_python(request.python)
        try:
            lock_file = self._root / ".locks" / request.tag
            with exclusive(lock_file, what=f"the build of tag {request.tag}", log=log) as lock:
                run = Run(log=log, lock=lock, cwd=self._root, timeout=self._timeout)
                return self.find(request) or self._build(request, run)
        except OSError as error:
            raise ImageError(
                f"Cannot write the environment {request.tag} below {self._root}: {error.strerror or error}",
                advice="Let the user that runs Airflow write there, free some space, or name another folder as "
                "`bucket` of the connection: environments lie in it.",
            ) from error

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

    def _build(self, request: ImageRequest, run: Run) -> Image:
        environment = self._root / request.tag
        started = time.monotonic()
        _remove(environment)  # what a killed build left
        run.log(f"building {request.tag} in {environment}")
        try:
            installer = find_installer(self._root / ".tools", run)
            installer.fill(environment, request.dockerfile.splitlines(), request.requirements, run)
            image = Image(uri=path_to_uri(environment), cached=False, build_id=f"{request.tag}-{secrets.token_hex(4)}")
            _seal(environment, request, image.build_id, installer.name, time.monotonic() - started)
        except BaseException:
            _remove(environment)
            raise
        run.log(f"built {request.tag} in {time.monotonic() - started:.1f} s with {installer.name}")
        return image


def _seal(environment: Path, request: ImageRequest, build_id: str, installer: str, seconds: float) -> None:
    """Write what the environment is; from now on it counts as finished."""
    metadata = {
        "tag": request.tag,
        "category": request.category,
        "python": request.python,
        "recipe": request.dockerfile,
        "requirements": request.requirements,
        "build_id": build_id,
        "installer": installer,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }
    FileStorage().write(path_to_uri(environment / METADATA), json.dumps(metadata, indent=1).encode())


def _remove(environment: Path) -> None:
    """The seal first: a removal that is interrupted must not leave a part that looks finished."""
    (environment / METADATA).unlink(missing_ok=True)
    shutil.rmtree(environment, ignore_errors=True)


def _running_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _check_python(wanted: str) -> None:
    if wanted != _running_python():
        raise ConfigurationError(
            f"An environment for Python {wanted} was asked for, and this machine's Airflow runs {_running_python()}",
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
