"""The folder of a local job in the hands of a client: make it, start its node, take it over, clear it away.

Whoever holds the lock of a folder owns it: the creator first, then the node (it inherits the locked descriptor,
so that there is no moment between them), then nobody. A folder that was never begun and is owned by nobody was
left behind by a creator that died; whoever finds it starts its node.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.clusters import local_node
from airflow_provider_kinetic.clusters.local_node import files
from airflow_provider_kinetic.clusters.local_record import Record

STAGING = ".staging"
_STALE = 60.0
"""Seconds; long enough for anybody alive to go on."""

_NODE_CODE = "import sys; sys.path.append(sys.argv[1]); from local_node.node import main; main(sys.argv[2])"
_DETACH = '"$@" &'
"""Run by ``sh``, which ends at once: the node is nobody's child, so nobody's death or neglect reaches it."""


def publish(folder: Path, order: Mapping[str, Any], secrets: Mapping[str, str]) -> int:
    """Make the folder, whole or not at all, and return the descriptor that holds its lock.

    :raises FileExistsError: there is one already.
    """
    staging = folder.parent.parent / STAGING
    for directory in (folder.parent, staging):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = staging / uuid.uuid4().hex
    draft.mkdir(mode=0o700)
    owner = files.lock(draft / files.LOCK)
    assert owner is not None  # nobody else knows this name
    try:
        files.write_json(draft / files.ORDER, order)
        if secrets:
            files.write_json(draft / files.SECRETS, dict(secrets))
        draft.rename(folder)
    except OSError as refused:
        os.close(owner)
        shutil.rmtree(draft, ignore_errors=True)
        if folder.exists():
            raise FileExistsError(str(folder)) from refused
        raise
    return owner


def sweep(root: Path, *, stale: float = _STALE) -> None:
    """Remove drafts and half-removed folders that nobody has owned or touched for ``stale`` seconds."""
    for place in (STAGING, files.TRASH):
        with suppress(FileNotFoundError):
            for left in (root / place).iterdir():
                if time.time() - left.stat().st_ctime > stale and not files.held(left / files.LOCK):
                    shutil.rmtree(left, ignore_errors=True)


@contextmanager
def owned(folder: Path) -> Iterator[int | None]:
    """Own the folder for a moment: a descriptor of its lock, or None when another owns it or it is gone."""
    owner = _own(folder)
    try:
        yield owner
    finally:
        if owner is not None:
            os.close(owner)


def _own(folder: Path) -> int | None:
    for _ in range(3):  # readers who ask whether the lock is free hold it for microseconds
        try:
            owner = files.lock(folder / files.LOCK)
        except FileNotFoundError:
            return None
        if owner is not None:
            break
        time.sleep(0.002)
    else:
        return None
    try:
        if os.path.samestat(os.fstat(owner), (folder / files.LOCK).stat()):
            return owner
    except FileNotFoundError:
        pass
    os.close(owner)  # the folder was removed, and perhaps made again, before we got the lock
    return None


def start_node(folder: Path, owner: int) -> None:
    """Start the node, which inherits the lock; the caller closes its own descriptor."""
    node = [sys.executable, "-I", "-S", "-c", _NODE_CODE, str(Path(local_node.__file__).parents[1]), str(folder)]
    with (folder / files.NODE_LOG).open("ab") as log:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *node],
            check=True,
            env=files.inherited(os.environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(owner,),
            start_new_session=True,
        )


def start_forgotten(folder: Path) -> None:
    """Start the node of a folder whose creator died before it did."""
    with owned(folder) as owner:
        if owner is not None and not (folder / files.NODE).exists():
            start_node(folder, owner)


def nudge(folder: Path, record: Record) -> None:
    """Tell the node to look at its requests now; it looks twice a second anyway.

    The process id is held before the lock is seen taken, so it is the node's and no later process's.
    """
    node = record.node or {}
    if node.get("pid_namespace") != files.pid_namespace() or not hasattr(os, "pidfd_open"):
        return
    with suppress(OSError):
        process = os.pidfd_open(node["pid"])
        try:
            if files.held(folder / files.LOCK):
                signal.pidfd_send_signal(process, signal.SIGUSR1)
        finally:
            os.close(process)


def kill_remains(folder: Path, record: Record) -> None:
    """End what outlived its node, and the secrets with it. A process is the job's if its environment says so."""
    (folder / files.SECRETS).unlink(missing_ok=True)
    group, node = record.state.get("group"), record.node or {}
    if not group or node.get("boot_id") != files.boot_id() or node.get("pid_namespace") != files.pid_namespace():
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, 0)
        for pid in _members(group, folder, record.order["termination_variable"]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _members(group: int, folder: Path, variable: str) -> list[int]:
    import psutil  # late: readers hardly ever come here

    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.environ().get(variable, "").startswith(f"{folder}/"):
                members.append(process.pid)
    return members
