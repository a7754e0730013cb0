"""Objects that tell on whoever opens them."""

from __future__ import annotations

from pathlib import Path


def bomb(canary: Path) -> bytes:
    """A pickle that creates this file where it is opened."""
    return b"cbuiltins\nopen\n(V" + str(canary).encode() + b"\nVw\ntR."
