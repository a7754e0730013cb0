"""What the job must have installed: found beside the function, and without what the image brings.

JAX is chosen by the accelerator, so a project's own pin of it would undo the image (``contract`` 4.5). Discovery
follows ``contract`` 4.4: the nearest file above the function's folder, never past the repository or the home folder.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from airflow_provider_kinetic.model.errors import RequirementsError

BROUGHT_BY_IMAGE = frozenset({"jax", "jaxlib", "libtpu", "libtpu-nightly"})
KEEP_MARK = "# kn:keep"

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=|$)\s*(.*)")
_REMOTE_EDITABLE = re.compile(r"(?:git|hg|bzr|svn)\+|https?://", re.IGNORECASE)
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s|=|$)|-[rc]\S")
_LOCAL_PATH = re.compile(r"file:|\./|\.\./|\.\.?(?=$|\s|\[|/)|/|~|[A-Za-z]:[\\/]", re.IGNORECASE)
_DIRECT_LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@\s*(?:file:|\.{0,2}/)", re.IGNORECASE)


@dataclass(frozen=True)
class Requirements:
    """Requirements text as it was found, not filtered."""

    text: str
    source: Path
    warnings: tuple[str, ...] = ()


def discover(folder: Path) -> Requirements | None:
    """The nearest ``requirements.txt`` or ``pyproject.toml`` in ``folder`` or above it.

    :raises RequirementsError: the file cannot be read.
    """
    start = folder.resolve()
    for level in (start, *start.parents):
        for name in ("requirements.txt", "pyproject.toml"):
            if (level / name).is_file():
                return _found(level / name, start)
        if (level / ".git").exists() or level == Path.home().resolve():
            return None
    return None


def _found(file: Path, start: Path) -> Requirements:
    text, warnings = _read(file)
    if file.parent != start and not (file.parent / ".git").exists():
        warnings = (
            f"Requirements are taken from {file}, above the code's folder {start} and with no repository around both.",
            *warnings,
        )
    return Requirements(text, file, warnings)


def from_parameter(value: Sequence[str] | str | Path | None, *, base: Path) -> str:
    """Requirements text from what a task was given: a list of requirements, or the path of a file that holds them.

    A relative path starts at ``base``. None gives an empty text.

    :raises RequirementsError: an item is no requirement, or there is no such file.
    """
    if value is None:
        return ""
    if isinstance(value, (str, Path)):
        file = base / Path(value).expanduser()
        if not file.is_file():
            raise RequirementsError(
                f"`requirements` names {value}, and there is no file {file}.",
                advice="Pass a list such as ['numpy>=2'], or the path of a requirements.txt or pyproject.toml.",
            )
        return _read(file)[0]
    for number, item in enumerate(value, 1):
        _check_item(number, item)
    return "".join(f"{item.strip()}\n" for item in value)


def filter_bundled(text: str) -> str:
    """Requirements for an image that brings JAX: its lines are taken out, all others stay as they are."""
    return "".join(line.raw for line in _lines(text) if not line.is_brought_by_image)


def filter_prebuilt(text: str) -> str:
    """Requirements for a job that installs them when it starts; empty when nothing is left to install.

    Continued lines are joined.

    :raises RequirementsError: a line refers to something that only exists on the submitter's machine.
    """
    kept = []
    for line in _lines(text):
        reason = _local_reason(line.joined.strip())
        if reason:
            raise RequirementsError(
                f"Line {line.number} of the requirements, {line.joined.strip()!r}, {reason}.",
                advice="Name a package, a git+https:// address or a URL: the job has nothing of this machine's disk. "
                "Code of your project travels with the job anyhow.",
            )
        if not line.is_brought_by_image:
            kept.append(line.joined)
    result = "".join(f"{line}\n" for line in kept)
    return result if result.strip() else ""


@dataclass(frozen=True)
class _Line:
    """One requirement; ``raw`` holds its physical lines, ``joined`` is free of continuations."""

    number: int
    raw: str
    joined: str

    @property
    def is_brought_by_image(self) -> bool:
        name = _NAME.match(self.joined)
        return name is not None and canonicalize_name(name[1]) in BROUGHT_BY_IMAGE and KEEP_MARK not in self.joined


def _lines(text: str) -> Iterator[_Line]:
    """Requirements with the number of their first line. A comment ends at its line, as it does for pip."""
    raw, joined, first = "", "", 0
    for number, physical in enumerate(text.splitlines(keepends=True), 1):
        content = physical.rstrip("\r\n")
        first = first or number
        raw += physical
        continued = content.endswith("\\") and not content.lstrip().startswith("#")
        joined += content[:-1] if continued else content
        if not continued:
            yield _Line(first, raw, joined)
            raw, joined, first = "", "", 0
    if raw:
        yield _Line(first, raw, joined)


def _local_reason(line: str) -> str:
    """Why the job could not install ``line``; empty when it can."""
    if not line or line.startswith("#"):
        return ""
    editable = _EDITABLE.match(line)
    if editable:
        return "" if _REMOTE_EDITABLE.match(editable[1]) else "is an editable install of a local folder"
    if _INCLUDE.match(line):
        return "includes another file"
    if _LOCAL_PATH.match(line) or _DIRECT_LOCAL.match(line):
        return "is a local path"
    return ""


def _check_item(number: int, item: object) -> None:
    if isinstance(item, str):
        text = item.partition(" #")[0].strip()
        if text.startswith("-") or re.match(r"[a-z+]+://", text):
            return
        try:
            Requirement(text)
            return
        except InvalidRequirement as invalid:
            reason = str(invalid).splitlines()[0]
    else:
        reason = f"it is of type {type(item).__name__}"
    raise RequirementsError(
        f"Item {number} of `requirements`, {item!r}, is not a requirement: {reason}",
        advice="Write it as in a requirements.txt, for example 'numpy>=2'.",
    )


def _read(file: Path) -> tuple[str, tuple[str, ...]]:
    """Text and warnings."""
    try:
        text = file.read_text("utf-8-sig")
        return _from_pyproject(tomllib.loads(text), file) if file.suffix == ".toml" else (text, ())
    except (OSError, ValueError) as failure:
        raise RequirementsError(
            f"The requirements in {file} cannot be read: {failure}.", advice="Correct the file, or pass `requirements`."
        ) from failure


def _from_pyproject(document: dict[str, Any], file: Path) -> tuple[str, tuple[str, ...]]:
    project = document.get("project")
    dependencies = project.get("dependencies") if isinstance(project, dict) else None
    if isinstance(dependencies, list) and dependencies:
        return "\n".join(str(item) for item in dependencies) + "\n", ()
    elsewhere = _other_dependencies(document)
    if elsewhere:
        return "", (f"{file} has dependencies under {elsewhere} only; just `project.dependencies` is installed.",)
    return "", () if dependencies is not None else (f"{file} has no `project.dependencies`; nothing is installed.",)


def _other_dependencies(document: dict[str, Any]) -> str:
    project = document.get("project")
    project = project if isinstance(project, dict) else {}
    tool = document.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    places = {
        "`tool.poetry.dependencies`": isinstance(poetry, dict) and "dependencies" in poetry,
        "`dependency-groups`": "dependency-groups" in document,
        "`project.optional-dependencies`": "optional-dependencies" in project,
        "`project.dynamic`": "dependencies" in project.get("dynamic", ()),
    }
    return ", ".join(place for place, there in places.items() if there)
