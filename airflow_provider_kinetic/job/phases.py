"""The stages of one start, under the names that readers of a failure know (``contract`` 7.3).

A process may die at any moment without a word, so the phase is also kept on disk: whoever outlives it
can still say how far it came.
"""

from __future__ import annotations

from pathlib import Path

STARTUP = "startup"
DOWNLOAD = "artifact download"
VERIFICATION = "artifact verification"
REQUIREMENTS = "requirements install"
EXTRACT = "context extract"
UNPICKLE = "payload unpickle"
ENVIRONMENT = "environment setup"
DATA = "data resolve"
EXECUTE = "execute"
SERIALIZATION = "result serialization"
UPLOAD = "upload"


class Progress:
    """The current phase, for this process and for its parent."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.phase = STARTUP

    def enter(self, phase: str) -> None:
        self.phase = phase
        self.file.write_text(phase)

    def last(self) -> str:
        """The phase that whichever process used this file entered last."""
        try:
            return self.file.read_text() or self.phase
        except FileNotFoundError:
            return self.phase
