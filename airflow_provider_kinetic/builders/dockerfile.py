"""The Dockerfile of a bundled image: what a job needs, and nothing of ours.

No runner is in it, because the runner travels with the job: an upgrade of this provider rebuilds nothing. The text is a
function of its arguments alone and enters the tag, so whatever changes the image changes its name. BuildKit builds it;
the frontend inside Docker 20.10 is enough, because a newer one would be another image to pull and to trust.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from airflow_provider_kinetic.builders.references import is_reference
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.images import BuildOptions, ImageRequest

UV_IMAGE = "ghcr.io/astral-sh/uv:0.11.1"
"""Where uv comes from unless the build argument ``UV_IMAGE`` says otherwise: upstream's version (contract 4.3)."""
JAX_ITEMS: Mapping[str, str] = MappingProxyType({"cpu": "jax", "gpu": "jax[cuda12]", "tpu": "jax[tpu]>=0.4.6"})
"""Category to the requirement that brings JAX for it (contract 4.3, step 5)."""
COMMON_PACKAGES = ("keras", "cloudpickle", "google-cloud-storage")
"""What every bundled image holds beside JAX (contract 4.3, step 5); our runner does not need upstream's own package."""

_LIBTPU = "https://storage.googleapis.com/jax-releases/libtpu_releases.html"
_OWN_INDEX = re.compile(r"^\s*(?:-i|--index-url|--no-index)(?:[\s=]|$)", re.MULTILINE)


def image_request(
    category: str, requirements: str, python: str, options: BuildOptions, packages: Sequence[str] | None = None
) -> ImageRequest:
    """The request for a bundled image: the same on every platform, so that its tag is.

    :param requirements: filtered text.
    :param python: minor version of the submitter.
    :param packages: what the image holds before the requirements; None for :func:`base_packages`.
    :raises ConfigurationError: no such category, or the base image is no name of an image.
    """
    base_image = options.base_image or f"python:{python}-slim"
    if not is_reference(base_image):
        raise ConfigurationError(
            f"`base_image` is {base_image!r}, which is no name of an image.",
            advice=f"Name an image that has a `python3` of version {python}, such as python:{python}-slim.",
        )
    return ImageRequest(
        category=category,
        python=python,
        base_image=base_image,
        requirements=requirements,
        dockerfile=dockerfile(category, python, base_image, requirements, non_root=options.non_root, packages=packages),
    )


def build_context(request: ImageRequest) -> dict[str, bytes]:
    """The files that a build is given: name to content."""
    files = {"Dockerfile": request.dockerfile.encode()}
    if request.requirements.strip():
        files["requirements.txt"] = request.requirements.encode()
    return files


def base_packages(category: str) -> list[str]:
    """JAX as the category needs it, and :data:`COMMON_PACKAGES`.

    :raises ConfigurationError: no such category.
    """
    if category not in JAX_ITEMS:
        raise ConfigurationError(
            f"No image category {category!r}", advice=f"The categories are {', '.join(JAX_ITEMS)}: see `accelerator`."
        )
    return [JAX_ITEMS[category], *COMMON_PACKAGES]


def dockerfile(
    category: str,
    python: str,
    base_image: str,
    requirements: str = "",
    *,
    non_root: bool = False,
    packages: Sequence[str] | None = None,
) -> str:
    """The text.

    The packages of the category are a layer of their own, which all images of the category share in the registry and on
    the nodes; the requirements are resolved together with them all the same. Where the requirements name an index,
    nothing may come from another, and there is one layer.

    :raises ConfigurationError: no such category.
    """
    install = _install(category, base_packages(category) if packages is None else packages)
    steps = [_START.format(uv_image=UV_IMAGE, base_image=base_image, python=python, tuple=python.replace(".", ", "))]
    if not _OWN_INDEX.search(requirements):
        steps.append(_PACKAGES.format(install=install))
    if requirements.strip():
        steps.append(_REQUIREMENTS.format(install=install))
    if category == "gpu":
        steps.append(_CUDA)
    steps.append(_USER if non_root else "WORKDIR /app\n")
    return "\n".join(steps)


def _install(category: str, packages: Sequence[str]) -> str:
    links = ["--find-links", _LIBTPU] if category == "tpu" else []
    return " ".join([_UV, *links, *map(shlex.quote, packages)])


_UV = (
    '/mnt/uv/uv pip install --python "$(command -v python3)" --break-system-packages '
    "--cache-dir /mnt/uv-cache --link-mode copy --compile-bytecode"
)
"""``--break-system-packages``: the container is the environment, also where a distribution calls its Python its own.
``--compile-bytecode``: every job is a fresh container, which would compile what it imports each time."""

_START = """\
ARG UV_IMAGE={uv_image}
FROM ${{UV_IMAGE}} AS uv

FROM {base_image}
USER root
RUN python3 -c 'import sys; assert sys.version_info[:2] == ({tuple}), "the task needs Python {python}: " + sys.version'
ENV KERAS_BACKEND=jax
"""
"""Pickled code is not portable between minor versions: that is found out here, not when the first job starts."""

_PACKAGES = """\
RUN --mount=type=bind,from=uv,target=/mnt/uv \\
    --mount=type=cache,id=kinetic-uv,target=/mnt/uv-cache \\
    {install}
"""

_REQUIREMENTS = """\
ARG BUILD_TOOLS="build-essential git"
RUN --mount=type=bind,from=uv,target=/mnt/uv \\
    --mount=type=cache,id=kinetic-uv,target=/mnt/uv-cache \\
    --mount=type=bind,source=requirements.txt,target=/mnt/requirements.txt \\
    fill() {{ {install} -r /mnt/requirements.txt; }}; \\
    fill || {{ command -v apt-get >/dev/null \\
      && echo "kinetic: once more with ${{BUILD_TOOLS}}, for what has no wheel" \\
      && apt-get update -qq \\
      && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${{BUILD_TOOLS}} >/dev/null \\
      && rm -rf /var/lib/apt/lists/* \\
      && fill; }}
"""
"""Compilers and git are only in the images whose requirements need them."""

_CUDA = """\
RUN nvidia="$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia" \\
 && ls -d "$nvidia"/*/lib > /etc/ld.so.conf.d/zz-kinetic-nvidia.conf \\
 && ldconfig \\
 && { [ -e /usr/local/cuda ] || ln -s "$nvidia/cuda_nvcc" /usr/local/cuda; }
ENV PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:${PATH} \\
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/nvidia/lib${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH}}
"""
"""GKE puts the driver into /usr/local/nvidia and tells nobody (upstream issues #269, #281). The CUDA libraries are
those of the wheels, known to the loader behind whatever a package or the base image prefers; ptxas and libdevice are in
one of them, and XLA and others look for them in /usr/local/cuda."""

_USER = """\
RUN { grep -q '^[^:]*:[^:]*:1000:' /etc/passwd || echo 'kinetic:x:1000:1000::/home/kinetic:/bin/sh' >> /etc/passwd; } \\
 && { grep -q '^[^:]*:[^:]*:1000:' /etc/group || echo 'kinetic:x:1000:' >> /etc/group; } \\
 && mkdir -p /home/kinetic /app && chown 1000:1000 /home/kinetic /app
ENV HOME=/home/kinetic
USER 1000
WORKDIR /app
"""
"""A number, because Kubernetes cannot tell of a name whether it is root (``runAsNonRoot``)."""
