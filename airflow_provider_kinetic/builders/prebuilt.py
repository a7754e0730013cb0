"""Published images that hold JAX and no more: the job installs its requirements when it starts.

``kinetic build-image`` of upstream's client makes them, one for each category (contract 4.1, 4.8). Nobody asks here
whether there is one: the cluster pulls it, and says so if it cannot.
"""

from __future__ import annotations

from airflow_provider_kinetic.builders.references import is_reference
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import Image

TAG = "0.0.4"
"""The release of keras-kinetic that this provider is tested against: upstream's tags are its versions."""


def prebuilt_image(category: str, repository: str | None, tag: str | None = None) -> Image:
    """``{repository}/base-{category}:{tag}``.

    :param tag: None: that of the release that this provider is tested against.
    :raises ConfigurationError: there is no repository, or the two make no name of an image.
    """
    if not repository:
        raise ConfigurationError(
            "`container_image` is 'prebuilt', and nobody says where the prebuilt images are.",
            advice="Pass `base_image_repo=`, or set it in the connection: the `--repo` that `kinetic build-image` was "
            "given, such as europe-docker.pkg.dev/project/repository.",
        )
    name = f"{repository.rstrip('/')}/base-{category}:{tag or TAG}"
    if not is_reference(name):
        raise ConfigurationError(
            f"The prebuilt image would be {name!r}, which is no name of an image.",
            advice="Correct `base_image_repo` (a repository, without a tag) and the connection's `prebuilt_tag`.",
        )
    return Image(uri=name, cached=True)
