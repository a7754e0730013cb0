"""The project folder as one archive: what the function may import, open or run in the job.

The rules are those of ``contract`` 6.6. The same tree gives the same bytes, and the archive is written forwards only,
so that its digest is ready with its last byte. Compression is the fastest there is: source code is small, and what is
large in a project folder seldom shrinks.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from pathlib import Path
from typing import IO, cast

from airflow_provider_kinetic.packaging.artifact import Artifact, HashingWriter, Warn, megabytes, warn_limit, writing
from airflow_provider_kinetic.packaging.plan import PackagingPlan

ALWAYS_EXCLUDED_FOLDERS = frozenset({".git", "__pycache__"})
DEFAULT_EXCLUDED_FOLDERS = ALWAYS_EXCLUDED_FOLDERS | {
    ".venv",
    "venv",
    "node_modules",
    ".tox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".ipynb_checkpoints",
}
ENVIRONMENT_MARK = "pyvenv.cfg"  # PEP 405
DEFAULT_EXCLUDED_FILES = frozenset({".DS_Store", "airflow.cfg", "airflow.db", "airflow.db-shm", "airflow.db-wal"})
"""Beside upstream's: what an Airflow that lives in the project's own folder keeps there, secrets among it."""

SECRET_FILES = (".env*", "*.pem", "id_rsa*")
IGNORE_FILE = ".kineticignore"
PLAN_FILE = ".kinetic/plan.json"
ENV_NO_DEFAULT_EXCLUDES = "KINETIC_NO_DEFAULT_EXCLUDES"
ENV_WARN = "KINETIC_CONTEXT_SIZE_WARN_MB"


def write_context(
    path: Path,
    plan: PackagingPlan,
    *,
    exclude: Iterable[Path] = (),
    environ: Mapping[str, str] | None = None,
    warn: Warn,
) -> Artifact:
    """Pack the plan's root into ``path``; ``exclude`` names files and folders that travel another way.

    ``warn`` gets a line for everything that is missing from the archive, looks like a secret or is very large.

    :raises InfrastructureError: the disk refused.
    """
    environ = os.environ if environ is None else environ
    rules = _Rules.read(plan.root, [*exclude, path], environ)
    tree = _Tree(plan.root, rules, warn)
    limit = warn_limit(ENV_WARN, 100, environ=environ, warn=warn)
    # A stream that cannot seek makes zipfile write forwards only.
    with (
        writing(path) as stream,
        zipfile.ZipFile(
            cast(IO[bytes], stream), "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
        ) as archive,
    ):
        for entry in tree.entries():
            _add(archive, stream, entry, tree)
        own = zipfile.ZipInfo(PLAN_FILE)
        own.external_attr = 0o644 << 16
        archive.writestr(own, json.dumps(plan.wire(), sort_keys=True))
    artifact = stream.artifact(path)
    _report(tree, artifact, limit, warn)
    return artifact


@dataclass(frozen=True)
class _Rules:
    """What stays at home."""

    folders: frozenset[str]
    files: frozenset[str]
    paths: frozenset[str]
    """Absolute paths."""
    environments: bool
    """Virtual environments stay at home whatever their name."""
    ignored: re.Pattern[str] | None
    ignored_folders: re.Pattern[str] | None

    @classmethod
    def read(cls, root: Path, exclude: Iterable[Path], environ: Mapping[str, str]) -> _Rules:
        bare = environ.get(ENV_NO_DEFAULT_EXCLUDES) == "1"
        everywhere, folders_only = _ignore_patterns(root / IGNORE_FILE)
        return cls(
            folders=ALWAYS_EXCLUDED_FOLDERS if bare else DEFAULT_EXCLUDED_FOLDERS,
            files=frozenset() if bare else DEFAULT_EXCLUDED_FILES,
            paths=frozenset(os.path.realpath(path) for path in exclude),
            environments=not bare,
            ignored=_any_of(everywhere),
            ignored_folders=_any_of([*everywhere, *folders_only]),
        )

    def leaves_out(self, name: str, relative: str, real: str, is_folder: bool) -> bool:
        if name in (self.folders if is_folder else self.files) or real in self.paths:
            return True
        if is_folder and self.environments and os.access(f"{real}/{ENVIRONMENT_MARK}", os.F_OK):
            return True
        pattern = self.ignored_folders if is_folder else self.ignored
        return pattern is not None and bool(pattern.match(relative) or pattern.match(name))


def _ignore_patterns(file: Path) -> tuple[list[str], list[str]]:
    """Patterns for everything, and patterns for folders only."""
    if not file.is_file():
        return [], []
    everywhere: list[str] = []
    folders_only: list[str] = []
    for line in file.read_text("utf-8-sig", errors="replace").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        (folders_only if pattern.endswith("/") else everywhere).append(pattern.strip("/"))
    return everywhere, folders_only


def _any_of(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)) if patterns else None


@dataclass(frozen=True)
class _Entry:
    """``relative`` uses ``/``; folders are only listed where nothing lies in them."""

    relative: str
    path: str
    status: os.stat_result


@dataclass
class _Tree:
    """The files of a project in name order, with what was noticed on the way."""

    root: Path
    rules: _Rules
    warn: Warn
    sizes: list[tuple[int, str]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def entries(self) -> Iterator[_Entry]:
        status = self.root.stat()
        yield from self._folder(str(self.root), "", ((status.st_dev, status.st_ino),))

    def skip(self, relative: str, reason: object) -> None:
        why = reason.strerror if isinstance(reason, OSError) else reason
        self.warn(f"Not packed: {_printable(relative)} ({why}).")

    def _folder(self, path: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[_Entry]:
        """``above`` identifies the folders on the way here, so that a link to one of them ends."""
        try:
            with os.scandir(path) as listing:
                children = sorted(listing, key=lambda child: child.name)
        except OSError as reason:
            self.skip(prefix, reason)
            return
        for child in children:
            relative = prefix + child.name
            status = self._status(child, relative)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield from self._file(_Entry(relative, child.path, status))
            elif (here := (status.st_dev, status.st_ino)) not in above:
                inside = False
                for entry in self._folder(child.path, f"{relative}/", (*above, here)):
                    inside = True
                    yield entry
                if not inside:
                    yield _Entry(f"{relative}/", child.path, status)

    def _status(self, child: os.DirEntry[str], relative: str) -> os.stat_result | None:
        """None for what stays at home or cannot be reached."""
        try:
            status = child.stat()
            real = os.path.realpath(child.path) if child.is_symlink() else child.path
        except OSError as reason:
            if not self.rules.leaves_out(child.name, relative, child.path, False):
                self.skip(relative, "broken link" if child.is_symlink() else reason)
            return None
        if relative == PLAN_FILE or self.rules.leaves_out(child.name, relative, real, stat.S_ISDIR(status.st_mode)):
            return None
        try:
            child.name.encode()
        except UnicodeEncodeError:
            self.skip(relative, "its name is not UTF-8")
            return None
        return status

    def _file(self, entry: _Entry) -> Iterator[_Entry]:
        if not stat.S_ISREG(entry.status.st_mode):
            self.skip(entry.relative, "not a regular file")
            return
        name = entry.relative.rpartition("/")[2]
        if any(fnmatchcase(name, pattern) for pattern in SECRET_FILES):
            self.secrets.append(entry.relative)
        self.sizes.append((entry.status.st_size, entry.relative))
        yield entry


def _add(archive: zipfile.ZipFile, stream: HashingWriter, entry: _Entry, tree: _Tree) -> None:
    before = stream.size
    try:
        archive.write(entry.path, entry.relative)
    except OSError as reason:
        if stream.failure or stream.size > before:  # not the file's fault, or half of it is in the archive already
            raise
        tree.skip(entry.relative, reason)


def _report(tree: _Tree, artifact: Artifact, limit: float, warn: Warn) -> None:
    if tree.secrets:
        shown = ", ".join(tree.secrets[:10]) + (" …" if len(tree.secrets) > 10 else "")
        warn(
            f"Files that look like secrets travel with the job: {shown}. List them in {IGNORE_FILE} to keep them here."
        )
    if artifact.size > limit:
        largest = ", ".join(f"{name} ({megabytes(size)})" for size, name in sorted(tree.sizes, reverse=True)[:5])
        warn(
            f"The project archive of {tree.root} is {megabytes(artifact.size)}. Largest files: {largest}. "
            f"List what the job does not need in {IGNORE_FILE}; {ENV_WARN} sets this limit."
        )


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
