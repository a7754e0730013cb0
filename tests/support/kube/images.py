"""What stands for a container image here: how its containers are started, or why it cannot be pulled."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Image:
    """``python`` runs commands that begin with ``python`` or ``python3``; ``command`` is the entry point.

    ``pull_error``: the container never starts and waits in ErrImagePull / ImagePullBackOff with this message.
    ``files``: paths in the image and where their files really are, replaced where a word of the command is one of them.
    ``idle``: the container runs without a process until it is stopped (for thousands of them).
    """

    python: str = sys.executable
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    pull_error: str = ""
    idle: bool = False
