"""A file of the parcel, with the digest that the job verifies before it opens it.

The digest is computed from the bytes on their way to the disk: a large file is never read a second time, and what was
hashed is what was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airflow_provider_kinetic.model.errors import InfrastructureError

Warn = Callable[[str], None]

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Artifact:
    """A finished file: ``sha256`` in lower-case hex, ``size`` in bytes."""

    path: Path
    sha256: str
    size: int


class HashingWriter:
    """A write-only binary stream that keeps count and digest. It cannot seek: nothing changes behind the digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.failure: OSError | None = None
        """Why the disk refused; whoever drives the stream may have wrapped or hidden it."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        with memoryview(data) as view:
            self._digest.update(view)
            try:
                self._file.write(view)
            except OSError as failure:
                self.failure = failure
                raise
            self.size += view.nbytes
            return view.nbytes

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as failure:
            self.failure = failure
            raise

    def artifact(self, path: Path) -> Artifact:
        return Artifact(path, self._digest.hexdigest(), self.size)


@contextmanager
def writing(path: Path) -> Iterator[HashingWriter]:
    """Write ``path`` through a :class:`HashingWriter`; a file that was not finished is removed again.

    :raises InfrastructureError: the disk refused, whatever was made of its error inside of the block.
    """
    try:
        file = path.open("wb")
    except OSError as refusal:
        raise _refused(path, refusal) from refusal
    writer = HashingWriter(file)
    try:
        with file:
            yield writer
            writer.flush()
    except BaseException:
        path.unlink(missing_ok=True)
        if writer.failure is not None:
            raise _refused(path, writer.failure) from writer.failure
        raise


def _refused(path: Path, refusal: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"{path.name} cannot be written to {path.parent}: {refusal.strerror}.",
        advice="Make room there, or set TMPDIR to a folder on a larger disk.",
    )


def warn_limit(name: str, default: float, *, environ: Mapping[str, str], warn: Warn) -> float:
    """Size in bytes above which to warn, from a variable in MB; infinite where the variable says 0 or less."""
    given = environ.get(name, "").strip()
    try:
        megabytes = float(given) if given else default
    except ValueError:
        warn(f"{name}={given!r} is not a number; {default:g} MB is used.")
        megabytes = default
    return megabytes * MEGABYTE if megabytes > 0 else float("inf")


def megabytes(size: float) -> str:
    return f"{size / MEGABYTE:.1f} MB"
