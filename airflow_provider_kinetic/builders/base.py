"""The port to images: something that holds the packages a job needs.

A request names its content, the builder finds or makes it. Ten tasks that ask for one tag at the same
moment cause one build, and a build that was interrupted is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airflow_provider_kinetic.model.images import Image, ImageRequest


class ImageBuilder(Protocol):
    """Makes images."""

    def request_for(self, category: str, requirements: str) -> ImageRequest:
        """What an image for this category (``cpu``, ``gpu``, ``tpu``) and these filtered requirements must hold."""

    def find(self, request: ImageRequest) -> Image | None:
        """The finished image of this content, or None."""

    def ensure(self, request: ImageRequest, *, log: Callable[[str], None]) -> Image:
        """Find it, or wait for whoever builds it, or build it; ``log`` takes progress lines.

        :raises ImageError: the build failed; the last lines of its output are in the error.
        """

    def named(self, container_image: str) -> Image:
        """An image that the user named.

        :raises ConfigurationError: this platform cannot run such an image.
        """
