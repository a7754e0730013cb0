"""The user's project, unpacked and made importable (``contract`` 5.4, 7.3, 7.4)."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

PLAN = ".kinetic/plan.json"
_UNIX = 3


def extract(archive: Path, root: Path) -> None:
    """Unzip with the permissions that Unix recorded, never more than ``rwx``.

    :raises ValueError: an entry would land outside of ``root``.
    """
    root.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(root)
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            target = os.path.realpath(os.path.join(real, entry.filename))  # noqa: PTH118
            if target != real and not target.startswith(real + os.sep):
                raise ValueError(f"entry {entry.filename!r} of the archive leaves the workspace")
            bundle.extract(entry, real)
            mode = (entry.external_attr >> 16) & 0o777
            if entry.create_system == _UNIX and mode:
                Path(target).chmod(mode | 0o700 if entry.is_dir() else mode)


def enter(root: Path, bundle: str) -> None:
    """Put the workspace on ``sys.path``, behind ``bundle`` (our own modules), and change into it.

    An archive without a plan is from an older client: then only its root is added and the folder stays.
    """
    plan = _plan(root)
    entries = [str(root)] if plan is None else _entries(root, plan.get("sys_path_rel"))
    rest = [entry for entry in sys.path if entry not in entries and entry != bundle]
    sys.path[:] = [*([bundle] if bundle else []), *entries, *rest]
    if plan is not None:
        folder = _inside(root, plan.get("client_cwd_rel"))
        os.chdir(folder if folder is not None and folder.is_dir() else root)


def stand_in(root: Path, working_dir: object, note: Path) -> None:
    """Make the client's absolute folder name lead to the workspace, only where nothing is in the way.

    ``note`` gets the name of the link, so that it can be removed when the job ends.
    """
    if not isinstance(working_dir, str) or not os.path.isabs(working_dir):  # noqa: PTH117
        return
    link = Path(working_dir)
    if os.path.lexists(link) or not os.access(link.parent, os.W_OK):
        return
    try:
        note.write_text(working_dir)
        link.symlink_to(root, target_is_directory=True)
    except OSError as error:
        print(f"kinetic: {working_dir} does not lead to the workspace: {error}", file=sys.stderr)


def remove_stand_in(root: Path, note: Path) -> None:
    """Undo :func:`stand_in`; a link that leads elsewhere by now is somebody else's."""
    try:
        link = Path(note.read_text())
        if os.readlink(link) == str(root):  # noqa: PTH115
            link.unlink()
    except OSError:
        return


def _plan(root: Path) -> dict[str, Any] | None:
    try:
        parsed = json.loads((root / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _entries(root: Path, relative: object) -> list[str]:
    found: list[str] = []
    for item in relative if isinstance(relative, list) else []:
        folder = _inside(root, item)
        if folder is None:
            print(f"kinetic: sys.path entry {item!r} leaves the workspace and is dropped", file=sys.stderr)
        elif folder.is_dir() and str(folder) not in found:
            found.append(str(folder))
    return found if str(root) in found else [*found, str(root)]


def _inside(root: Path, relative: object) -> Path | None:
    """``relative`` below the root; None when it is no path or leads out."""
    if not isinstance(relative, str):
        return None
    folder = Path(os.path.normpath(root / relative))
    real = Path(os.path.realpath(root))
    landing = Path(os.path.realpath(folder))
    return folder if landing == real or real in landing.parents else None
