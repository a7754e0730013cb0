"""Images are found again by content: the tag is a hash of what would be installed.

Neither the version of this provider nor the runner enters (the runner travels with the job), so an
upgrade rebuilds nothing. Locally an image is a virtual environment under the same tag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class ImageRequest:
    """What an image must hold (contract 4.2, 4.3)."""

    category: str
    """``cpu``, ``gpu`` or ``tpu``."""
    python: str
    """Minor version of the submitter, ``"3.11"``: pickled code is not portable across it."""
    base_image: str
    """What the image starts from; ``python:{python}-slim`` unless the user names another."""
    requirements: str = ""
    """Filtered requirements text."""
    dockerfile: str = ""
    """Text of the Dockerfile: whatever else decides the content."""

    @property
    def tag(self) -> str:
        """``{category}-`` and 12 hex digits: contract 4.2 without the pieces of the runner and the version."""
        text = (
            f"base_image={self.base_image}\ncategory={self.category}\n{self.requirements}"
            f"\n---Dockerfile.template---\n{self.dockerfile}"
        )
        return f"{self.category}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Image:
    """A ready image. ``build_id`` and ``log_url`` are empty where nothing had to be built."""

    uri: str
    cached: bool
    build_id: str = ""
    log_url: str = ""


@dataclass(frozen=True)
class BuiltImage:
    """An image that lies in the builder's repository, as the command line lists it."""

    tag: str
    uri: str
    created: float | None = None
    """Unix seconds; None where the repository does not say."""
    size: int | None = None
    """Bytes; None where the repository does not say."""
    requirements: str | None = None
    """Filtered requirements text; None where the repository does not say."""


@dataclass(frozen=True)
class Build:
    """One running build. It travels in the arguments of a trigger, so it holds no secret."""

    tag: str
    uri: str
    """The image's name, known before it is built."""
    id: str
    """Cloud Build's id; locally that of the process's record."""
    log_url: str = ""
    place: str = ""
    """Where the builder finds it again: ``projects/{p}/locations/{l}``; locally a folder's URI."""
    number: int = 0
    """Counts the builds of this tag, as the claim does: a retry after a failure has the next number."""
    started_by_us: bool = False
    """This task started it, so this task may cancel it. Whoever joined leaves it alone."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Build:
        """The inverse of :meth:`to_dict`; unknown keys, of a newer version, are dropped."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


class BuildState(StrEnum):
    """How far a build is."""

    QUEUED = "QUEUED"
    WORKING = "WORKING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """It will not change any more."""
        return self not in (BuildState.QUEUED, BuildState.WORKING)


@dataclass(frozen=True)
class BuildStatus:
    """One look at a build."""

    state: BuildState
    message: str = ""
    """Why it failed, in one line."""
    log_tail: str = ""
    """The last lines of its log, where they can be read."""
    log_url: str = ""
    image: Image | None = None
    """The finished image, when it succeeded."""
    advice: str = ""
    """What to do about a failure, where more is known than its state."""


@dataclass(frozen=True)
class BuildOptions:
    """How images are built, from the connection (``base_image``, ``build_*``); arguments of operators override it.

    Only ``base_image`` and ``non_root`` decide what an image holds; the others are about the build itself.
    """

    base_image: str | None = None
    """None: ``python:{the submitter's minor version}-slim``."""
    non_root: bool = False
    """The image's user is not root, with a home and a work folder that it may write."""
    region: str | None = None
    """Cloud Build location; None: ``global``."""
    worker_pool: str | None = None
    """``projects/{p}/locations/{l}/workerPools/{name}``."""
    machine_type: str | None = None
    """Cloud Build's name of a machine, such as ``E2_HIGHCPU_8``."""
    timeout: float = 1200.0
    """Seconds for the whole build: upstream's limit (contract 4.7)."""
    layer_cache: bool = True
    """Layers of the last image of the same category are used again."""
    tags: tuple[str, ...] = ()
    """Cloud Build tags beside ours, such as a cost centre."""
    service_account: str | None = None
    """Who builds; None: contract 4.7's."""
    repository: str | None = None
    """Docker repository of the images; None: ``{location}-docker.pkg.dev/{project}/kn-{cluster}``."""
