"""Images that exist already, where nothing is built: the user names one, or a prebuilt one is taken.

Any image with a ``python3`` will do, because the runner travels with the job and not in the image.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_kinetic.builders.prebuilt import prebuilt_image
from airflow_provider_kinetic.builders.references import is_reference
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import Build, BuildStatus, BuiltImage, Image, ImageRequest

_MODES = ("bundled", "prebuilt")
_ADVICE = (
    "Pass `container_image=` the image to run, such as europe-docker.pkg.dev/project/repository/image:tag. It needs a "
    "`python3` of the minor version that runs this task, and the packages that the function imports."
)


def named_image(container_image: str) -> Image:
    """The image as it was named: the cluster pulls it.

    :raises ConfigurationError: this is no name of an image.
    """
    if not is_reference(container_image):
        raise ConfigurationError(
            f"`container_image` is {container_image!r}, which is no name of an image.", advice=_ADVICE
        )
    return Image(uri=container_image, cached=True)


class NamedBuilder:
    """The ``ImageBuilder`` port where nothing is built.

    :param platform: its name, for messages.
    :param base_image_repo: where prebuilt images are; None: nobody says.
    :param prebuilt_tag: theirs; None: the release that this provider is tested against.
    """

    def __init__(
        self, platform: str = "", *, base_image_repo: str | None = None, prebuilt_tag: str | None = None
    ) -> None:
        self._where = f"on the platform {platform!r}" if platform else "on this platform"
        self._base_image_repo = base_image_repo
        self._prebuilt_tag = prebuilt_tag

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> ImageRequest:  # noqa: ARG002
        raise self._builds_nothing()

    def uri(self, request: ImageRequest) -> str:  # noqa: ARG002
        raise self._builds_nothing()

    def find(self, request: ImageRequest) -> Image | None:  # noqa: ARG002
        raise self._builds_nothing()

    def start(self, request: ImageRequest, *, log: Callable[[str], None]) -> Build:  # noqa: ARG002
        raise self._builds_nothing()

    def status(self, build: Build) -> BuildStatus:  # noqa: ARG002
        raise self._builds_nothing()

    def cancel(self, build: Build) -> None:
        """Nothing is built here."""

    def named(self, container_image: str) -> Image:
        """The image as it was named: the cluster pulls it.

        :raises ConfigurationError: this is no name of an image, or a word for one that would have to be built.
        """
        if container_image in _MODES:
            raise self._builds_nothing(container_image)
        return named_image(container_image)

    def prebuilt(self, category: str, repository: str | None = None) -> Image:
        """See :func:`~airflow_provider_kinetic.builders.prebuilt.prebuilt_image`."""
        return prebuilt_image(category, repository or self._base_image_repo, self._prebuilt_tag)

    def images(self) -> list[BuiltImage]:
        """None: nothing is built here."""
        return []

    def delete(self, tag: str) -> None:  # noqa: ARG002
        raise self._builds_nothing()

    def _builds_nothing(self, mode: str = "") -> ConfigurationError:
        given = f"`container_image` is {mode!r}" if mode else "No `container_image` is given"
        return ConfigurationError(f"{given}, and nothing is built {self._where}.", advice=_ADVICE)
