"""Giving a finished file its name, if nobody has that name yet.

Numbers of attempts and commits of checkpoints rest on it: of two that try, one must fail, and nobody may ever see half
a file. A hard link does that; where a file system has none, Linux can rename without replacing. What can do neither,
such as a bucket mounted as a folder, is refused (``checkpointing`` 4, row 26): a lock beside the file would be left
behind by who dies, and a file that is filled under its own name would be seen half full.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
UNABLE = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""How file systems say that they do not know a call."""

_HERE = -100  # AT_FDCWD
_NO_REPLACE = 1


def place(temporary: Path, target: Path) -> None:
    """``temporary`` is ``target`` from now on; it may also be left where it was.

    :raises FileExistsError: that name is taken.
    :raises OSError: the file system cannot tell; with advice.
    """
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        kind = _kind(target.parent)
        if kind.startswith("fuse") or not _renamed(temporary, target):
            raise OSError(
                errno.ENOTSUP,
                f"The file system of {target.parent} ({kind or 'of unknown kind'}) cannot make a file only if there is "
                "none of that name, which the records of a trial rest on. Of a mounted Cloud Storage bucket pass the "
                "gs:// URI itself as output_dir; else a folder on a local disk or NFS.",
            ) from error


def _renamed(temporary: Path, target: Path) -> bool:
    """False where that is not possible. A kernel answers for FUSE also where the file system replaces all the same."""
    try:
        import ctypes

        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, OSError, AttributeError):
        return False
    if rename(_HERE, os.fsencode(temporary), _HERE, os.fsencode(target), _NO_REPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(target))


def _kind(folder: Path) -> str:
    """Type of its file system as Linux names it; empty where that is not known."""
    try:
        device = folder.stat().st_dev
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    here = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2:3] == [here]]
    return kinds[-1] if kinds else ""
