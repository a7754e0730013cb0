"""Images are found again by content: the tag is a hash of what would be installed.

Neither the version of this provider nor the runner enters (the runner travels with the job), so an
upgrade rebuilds nothing. Locally an image is a virtual environment under the same tag.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageRequest:
    """What an image must hold (contract 4.2, 4.3)."""

    category: str
    """``cpu``, ``gpu`` or ``tpu``."""
    python: str
    """Minor version of the submitter, ``"3.11"``: pickled code is not portable across it."""
    requirements: str = ""
    """Filtered requirements text."""
    recipe: str = ""
    """Whatever else decides the content: the Dockerfile template, the list of base packages."""

    @property
    def tag(self) -> str:
        """``{category}-`` and 12 hex digits."""
        text = f"python={self.python}\ncategory={self.category}\n{self.requirements}\n---recipe---\n{self.recipe}"
        return f"{self.category}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Image:
    """A ready image. ``build_id`` and ``log_url`` are empty where nothing had to be built."""

    uri: str
    cached: bool
    build_id: str = ""
    log_url: str = ""
