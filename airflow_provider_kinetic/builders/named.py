"""Images that exist already: this version builds none for a cluster, so the user names one.

Any image with a ``python3`` will do, because the runner travels with the job and not in the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

from airflow_provider_kinetic.builders.references import is_reference
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import Image, ImageRequest

_MODES = ("bundled", "prebuilt")
_ADVICE = (
    "Pass `container_image=` the image to run, such as europe-docker.pkg.dev/project/repository/image:tag. It needs a "
    "`python3` of the minor version that runs this task, and the packages that the function imports."
)


class NamedBuilder:
    """The ``ImageBuilder`` port where nothing is built.

    :param platform: its name, for messages.
    """

    def __init__(self, platform: str = "") -> None:
        self._where = f"on the platform {platform!r}" if platform else "on this platform"

    def request_for(self, category: str, requirements: str) -> ImageRequest:  # noqa: ARG002
        raise self._builds_nothing()

    def find(self, request: ImageRequest) -> Image | None:  # noqa: ARG002
        raise self._builds_nothing()

    def ensure(self, request: ImageRequest, *, log: Callable[[str], None]) -> Never:  # noqa: ARG002
        raise self._builds_nothing()

    def named(self, container_image: str) -> Image:
        """The image as it was named: the cluster pulls it.

        :raises ConfigurationError: this is no name of an image, or a word for one that would have to be built.
        """
        if container_image in _MODES:
            raise self._builds_nothing(container_image)
        if not is_reference(container_image):
            raise ConfigurationError(
                f"`container_image` is {container_image!r}, which is no name of an image.", advice=_ADVICE
            )
        return Image(uri=container_image, cached=True)

    def _builds_nothing(self, mode: str = "") -> ConfigurationError:
        given = f"`container_image` is {mode!r}" if mode else "No `container_image` is given"
        return ConfigurationError(f"{given}, and this version builds no images {self._where}.", advice=_ADVICE)
