"""What node and client share: the files of a job's folder, locks, and what a job sees of its machine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing: its import would cost every job 5 ms
    from collections.abc import Mapping

ORDER = "order.json"
"""What to run; written once by the creator."""
SECRETS = "secrets.json"
NODE = "node.json"
"""Which process is the node; it exists from the moment the job was begun."""
STATE = "state.json"
LOCK = "lock"
STOP = "stop"
"""Exists when deletion was asked for."""
PREEMPT = "preempt"
"""Exists when the machine is to be taken away; it reads ``soft`` or ``hard``."""
OUTPUT = "output.log"
NODE_LOG = "node.log"

TRASH = ".trash"

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a job sees of the environment of whoever submits it: the machine, never the worker's configuration."""
    return {
        name: value
        for name, value in environ.items()
        if name in INHERITED or name.startswith("LC_") or name.lower().endswith("_proxy")
    }


def boot_id() -> str:
    """Which start of the machine this is; empty where the kernel does not say (macOS)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Containers may share a folder without sharing process ids; 0 where the kernel does not say."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def write_json(path: Path, value: object) -> None:
    """Whole or not at all: readers never see half a file."""
    write_text(path, json.dumps(value))


def write_text(path: Path, text: str, mode: int = 0o600) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def lock(path: Path) -> int | None:
    """A descriptor that holds the file's lock; None when another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def held(path: Path) -> bool:
    """Some process holds the file's lock; False also when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def discard(folder: Path) -> None:
    """Remove a job's folder: gone under its name at once, whole or not at all. Absent is fine."""
    trash = folder.parent.parent / TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    grave = trash / f"{folder.name}.{time.time_ns()}.{os.getpid()}"
    try:
        folder.rename(grave)
    except FileNotFoundError:
        return
    shutil.rmtree(grave, ignore_errors=True)
