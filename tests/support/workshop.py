"""An image builder whose builds go on when a test says so, with all it knows on disk.

Any number of processes share one: a claim is a folder, made once, and an ended build is a file that is linked into
place once. An image is a folder whose interpreter is this one, so the local platform runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus, BuiltImage, Image, ImageRequest
from airflow_provider_kinetic.model.target import Target

LOG_URL = "https://console.example/build/"


@dataclass(frozen=True)
class Workshop:
    """:class:`~airflow_provider_kinetic.builders.base.ImageBuilder`; ``root`` need not exist yet.

    :param quick: builds that succeed when they are looked at for the second time.
    :param uri_of: the name of the image with a tag. None: its folder.
    """

    root: Path
    quick: bool = False
    uri_of: Callable[[str], str] | None = None

    # The port

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> ImageRequest:
        return ImageRequest(category, "3.11", base_image or "python:3.11-slim", requirements)

    def uri(self, request: ImageRequest) -> str:
        return self._uri(request.tag)

    def find(self, request: ImageRequest) -> Image | None:
        self._asked("find")
        return Image(self.uri(request), cached=True) if self._image(request.tag).exists() else None

    def start(self, request: ImageRequest, *, log: Callable[[str], None]) -> Build:
        self._asked("start")
        number = self.newest(request.tag)
        mine = not number or self._end(request.tag, number) is not None
        while mine:
            number += 1
            try:
                self._build(request.tag, number).mkdir(parents=True)
                break
            except FileExistsError:
                mine = self._end(request.tag, number) is not None
        log(f"build {number} of {request.tag}")
        name = f"{request.tag}-{number}"
        return Build(
            request.tag,
            self.uri(request),
            id=name,
            log_url=f"{LOG_URL}{name}",
            place=str(self.root),
            number=number,
            started_by_us=mine,
        )

    def status(self, build: Build) -> BuildStatus:
        self._asked("status")
        if (self.root / "silent").exists():
            raise ClusterError("The workshop does not answer.")
        looked = self._build(build.tag, build.number) / "looked"
        if self.quick and looked.exists():
            self.finish(build.tag)
        looked.touch()
        end = self._end(build.tag, build.number)
        if end is None:
            return BuildStatus(BuildState.WORKING, log_tail="collecting", log_url=build.log_url)
        state = BuildState(end["state"])
        image = Image(build.uri, cached=not build.started_by_us, build_id=build.id, log_url=build.log_url)
        image_or_none = image if state is BuildState.SUCCEEDED else None
        return BuildStatus(state, end["message"], end["log"], build.log_url, image_or_none)

    def cancel(self, build: Build) -> None:
        self._asked("cancel")
        self._ended(build.tag, build.number, BuildState.CANCELLED, "cancelled")

    def named(self, container_image: str) -> Image:
        return Image(container_image, cached=True)

    def prebuilt(self, category: str, repository: str | None = None) -> Image:
        if repository is None:
            raise ConfigurationError("Nobody says where prebuilt images are.")
        return Image(f"{repository}/base-{category}:1", cached=True)

    def images(self) -> list[BuiltImage]:
        return [BuiltImage(path.name, self._uri(path.name)) for path in sorted((self.root / "images").glob("*"))]

    def delete(self, tag: str) -> None:
        shutil.rmtree(self._image(tag), ignore_errors=True)

    # What a test does

    def finish(self, tag: str | None = None) -> None:
        """The newest build of the tag, or of the only one, succeeds."""
        tag = tag or self.tag
        interpreter = self._image(tag) / "bin" / "python"
        interpreter.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            interpreter.symlink_to(sys.executable)
        self._ended(tag, self.newest(tag), BuildState.SUCCEEDED)

    def fail(self, message: str, log: str = "", state: BuildState = BuildState.FAILED) -> None:
        """The newest build of the only tag fails."""
        self._ended(self.tag, self.newest(self.tag), state, message, log)

    def fall_silent(self) -> None:
        (self.root / "silent").touch()

    def answer_again(self) -> None:
        (self.root / "silent").unlink()

    @property
    def tag(self) -> str:
        """The one that was asked for."""
        (tag,) = {tag for tag, _, _ in self.builds}
        return tag

    @property
    def builds(self) -> list[tuple[str, int, str]]:
        """Tag, number and state of every build that was started."""
        claims = sorted((self.root / "builds").glob("*/*"), key=lambda path: (path.parent.name, int(path.name)))
        ends = [self._end(path.parent.name, int(path.name)) for path in claims]
        states = [end["state"] if end else "WORKING" for end in ends]
        return [(path.parent.name, int(path.name), state) for path, state in zip(claims, states, strict=True)]

    @property
    def states(self) -> list[str]:
        return [state for _, _, state in self.builds]

    @property
    def asked(self) -> list[str]:
        """Every question that the builder was asked, in order."""
        path = self.root / "asked"
        return path.read_text().split() if path.exists() else []

    def newest(self, tag: str) -> int:
        return max((int(path.name) for path in (self.root / "builds" / tag).glob("*")), default=0)

    def _uri(self, tag: str) -> str:
        return self.uri_of(tag) if self.uri_of else path_to_uri(self._image(tag))

    def _image(self, tag: str) -> Path:
        return self.root / "images" / tag

    def _build(self, tag: str, number: int) -> Path:
        return self.root / "builds" / tag / str(number)

    def _end(self, tag: str, number: int) -> Mapping[str, Any] | None:
        with suppress(FileNotFoundError):
            return dict(json.loads((self._build(tag, number) / "end.json").read_text()))
        return None

    def _ended(self, tag: str, number: int, state: BuildState, message: str = "", log: str = "") -> None:
        """The first end stands."""
        with tempfile.NamedTemporaryFile("w", dir=self.root) as written:
            json.dump({"state": state.value, "message": message, "log": log}, written)
            written.flush()
            with suppress(FileExistsError):
                os.link(written.name, self._build(tag, number) / "end.json")

    def _asked(self, what: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "asked").open("a") as out:
            out.write(f"{what}\n")


def equip(workshop: Workshop, platform: str = "local") -> None:
    """From now on the platform of this process has its images built there."""
    opened = platforms.PLATFORMS[platform]

    def open_and_build(target: Target) -> Ports:
        return replace(opened(target), builder=workshop)

    platforms.PLATFORMS[platform] = open_and_build
