"""Volumes on a machine that outlives the job: a link at the path that the user chose, for as long as a job needs it.

A pod has its own file system, this machine is everybody's. So nothing of the user's is ever replaced: what lies at the
path is only ours when a folder beside it, ``.{name}.kinetic``, says so. Jobs that want the same data at the same path
share it; each holds the folder's lock, which the kernel releases however a job ends, and the last one removes all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from pathlib import Path

_LOCK = "lock"
_CLAIM = "claim.json"
_COPY = "data"
_PATIENCE = 2.0
"""Seconds for others who are about to make or remove the same link."""


def obstacle(path: Path) -> str:
    """Why no link can be made at ``path``, as the end of a sentence; empty where it can."""
    if not path.is_absolute() or path != Path(os.path.normpath(path)) or not path.name:
        return "it is no absolute path"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if os.path.lexists(path) and not _beside(path).is_dir():
        return "something is there already"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent} cannot be written to"
    return ""


class Links:
    """Those of one job. ``note`` is a file that says which they are, for :func:`release`."""

    def __init__(self, note: Path) -> None:
        self._note = note
        self._locks: list[int] = []

    def make(self, path: Path, uri: str, target: Path | None = None) -> Path:
        """Link ``path`` to ``target``, until this process ends; where it leads to.

        Without a target it leads to a folder beside it that is empty at first: the copy of ``uri``.

        :raises RuntimeError: something else is there, or another job uses the path for other data.
        """
        reason = obstacle(path)
        if reason:
            raise RuntimeError(f"{uri} cannot be linked at {path}: {reason}. {_ADVICE}")
        leads_to = target or _beside(path) / _COPY
        claim = {"uri": uri, "target": str(leads_to)}
        with self._note.open("a", encoding="utf-8") as note:
            note.write(json.dumps(str(path)) + "\n")
        give_up = time.monotonic() + _PATIENCE
        while (lock := _share(path, claim)) is None:
            _prepare(path, claim)
            if time.monotonic() > give_up:
                raise RuntimeError(f"{uri} cannot be linked at {path}: {_rival(path)}. {_ADVICE}")
            time.sleep(0.02)
        self._locks.append(lock)
        return leads_to


_ADVICE = "Choose another path in `volumes`, or pass the Data as an argument, which needs no path of its own."


def release(note: Path) -> None:
    """Remove the links that ``note`` names where no other job needs them. Called when the job's process has ended."""
    with contextlib.suppress(FileNotFoundError):
        for line in note.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(OSError):
                _remove(Path(json.loads(line)))


def _share(path: Path, claim: dict[str, str]) -> int | None:
    """A lock against removal, when the link is there and leads where it should."""
    lock = _lock(path, fcntl.LOCK_SH)
    if lock is not None and not (_claim(path) == claim and _leads(path) == claim["target"]):
        os.close(lock)
        return None
    return lock


def _prepare(path: Path, claim: dict[str, str]) -> None:
    """Make the link if nobody uses the path; what a job that was killed has left is made anew."""
    folder = _beside(path)
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = _lock(path, fcntl.LOCK_EX, os.O_CREAT)
    if lock is None:
        return
    try:
        if _claim(path) != claim:
            _clear(path)
        if claim["target"] == str(folder / _COPY):
            (folder / _COPY).mkdir(exist_ok=True)
        (folder / _CLAIM).write_text(json.dumps(claim), encoding="utf-8")
        if not os.path.lexists(path):
            path.symlink_to(claim["target"], target_is_directory=True)
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    lock = _lock(path, fcntl.LOCK_EX)
    if lock is None:
        return
    try:
        _clear(path)
        (_beside(path) / _CLAIM).unlink(missing_ok=True)
        (_beside(path) / _LOCK).unlink()  # last: from now on the folder may be somebody else's
        with contextlib.suppress(OSError):
            _beside(path).rmdir()
    finally:
        os.close(lock)


def _clear(path: Path) -> None:
    """Remove the copy, and the link that the claim speaks of; nothing else that may be there by now."""
    if _leads(path) == _claim(path).get("target", ""):
        path.unlink(missing_ok=True)
    shutil.rmtree(_beside(path) / _COPY, ignore_errors=True)


def _lock(path: Path, how: int, flags: int = 0) -> int | None:
    """A descriptor that holds the lock beside ``path``; None when others have it, or it is not there."""
    file = _beside(path) / _LOCK
    try:
        lock = os.open(file, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), file.stat()):  # else it was removed by who had it before
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _rival(path: Path) -> str:
    claim = _claim(path)
    ours = bool(claim) and _leads(path) == claim["target"]
    return f"another job uses it for {claim['uri']}" if ours else "something else is there"


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.kinetic")


def _claim(path: Path) -> dict[str, str]:
    try:
        found = json.loads((_beside(path) / _CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _leads(path: Path) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return None
