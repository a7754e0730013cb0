"""Images of a cluster that are environments of the local builder: a build task works, and needs no registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kube import Image

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.builders.named import named_image
from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model import images
from airflow_provider_kinetic.model.target import Target

REPOSITORY = "registry.example/environments"


class EnvironmentImages(dict[str, Image]):
    """For ``KubeServer(images=...)``: the tag names the environment."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def get(self, name: str, default: Image | None = None) -> Image | None:  # type: ignore[override]
        repository, _, tag = name.rpartition(":")
        if repository == REPOSITORY:
            return Image(python=str(self._root / tag / "bin" / "python"))
        return super().get(name, default)


class EnvironmentBuilder(LocalBuilder):
    """Builds the environment and answers with the image that stands for it."""

    def uri_of(self, tag: str) -> str:
        return f"{REPOSITORY}:{tag}"

    def named(self, container_image: str) -> images.Image:
        return named_image(container_image)


def build_for_kubernetes(root: Path) -> None:
    """From now on the platform ``kubernetes`` of this process builds environments below ``root``."""
    opened = platforms.PLATFORMS["kubernetes"]

    def open_and_build(target: Target) -> Ports:
        return replace(opened(target), builder=EnvironmentBuilder(root))

    platforms.PLATFORMS["kubernetes"] = open_and_build
