"""The port to images: something that holds the packages a job needs.

A request names its content, the builder finds or makes it. Building is told in steps, none of which waits for its end:
who needs an image may sit in a worker or in a triggerer, may die, and comes back with the :class:`Build` that it
was given (``lifecycle/images.py`` waits). Ten tasks that ask for one tag at the same moment cause one build, and
a build that was interrupted is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airflow_provider_kinetic.model.images import Build, BuildStatus, BuiltImage, Image, ImageRequest


class ImageBuilder(Protocol):
    """Makes images.

    Every method that asks something of the world raises ``InfrastructureError`` when that does not answer: ask again.
    """

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> ImageRequest:
        """What an image for this category (``cpu``, ``gpu``, ``tpu``) and these filtered requirements must hold.

        :param base_image: what it starts from; None: the connection's, else ``python:{minor version}-slim``.
        :raises ConfigurationError: no such category, or nothing is built here.
        """

    def uri(self, request: ImageRequest) -> str:
        """The name that the image has or will have. Nothing is asked for that."""

    def find(self, request: ImageRequest) -> Image | None:
        """The finished image of this content, or None."""

    def start(self, request: ImageRequest, *, log: Callable[[str], None]) -> Build:
        """Join the build of this tag that runs, or start one; returns soon. ``log`` takes lines of progress.

        :raises ImageError: it cannot be started; the advice says what to do.
        """

    def status(self, build: Build) -> BuildStatus:
        """One look. A build that failed is an answer, not an error."""

    def cancel(self, build: Build) -> None:
        """Stop the build, for everybody: those who still want its image demand it anew. Idempotent."""

    def named(self, container_image: str) -> Image:
        """An image that the user named.

        :raises ConfigurationError: this platform cannot run such an image.
        """

    def prebuilt(self, category: str, repository: str | None = None) -> Image:
        """The published image of the category; the job installs its requirements itself (contract 4.1).

        :param repository: where such images are; None: the connection's ``base_image_repo``.
        :raises ConfigurationError: this platform has none, or nobody says where they are.
        """

    def images(self) -> list[BuiltImage]:
        """Every image that was built here, newest first."""

    def delete(self, tag: str) -> None:
        """Remove the image of this tag. A missing one is fine."""
