"""What the job must have installed: found beside the function, and without what the image brings.

JAX is chosen by the accelerator, so a project's own pin of it would undo the image (``contract`` 4.5). Discovery
follows ``contract`` 4.4: the nearest file above the function's folder, never past the repository or the home folder.
What can be installed nowhere but on the submitter's machine, or is no requirement at all, is refused here, with its
line and the reason: a build that fails minutes later knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from airflow_provider_kinetic.job.redaction import without_logins
from airflow_provider_kinetic.model.errors import RequirementsError
from airflow_provider_kinetic.packaging.pyproject import Pyproject, Selection

BROUGHT_BY_IMAGE = frozenset({"jax", "jaxlib", "libtpu", "libtpu-nightly"})
KEEP_MARK = "# kn:keep"

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=|$)\s*(.*)")
_REMOTE_EDITABLE = re.compile(r"(?:git|hg|bzr|svn)\+|https?://", re.IGNORECASE)
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s|=|$)|-[rc]\S")
_LOCAL_PATH = re.compile(r"file:|\./|\.\./|\.\.?(?=$|\s|\[|/)|/|~|[A-Za-z]:[\\/]", re.IGNORECASE)
_LOCAL_ARCHIVE = re.compile(r"[^\s:@]+\.(?:whl|zip|tar\.gz|tar\.bz2|tgz)(?=$|\s|\[)", re.IGNORECASE)
_LOCAL_INDEX = re.compile(
    r"(?:-i|-f|--index-url|--extra-index-url|--find-links)(?:\s+|=|(?<=-[if]))(?!https?://|\$\{)\S"
)
_URL = re.compile(r"[a-z][a-z+]*://", re.IGNORECASE)
_OPTIONS = re.compile(r"\s+(?:--?[a-zA-Z]|#)")
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


def from_parameter(value: Sequence[str] | str | Path | None, *, base: Path) -> str:
    """Requirements text from what a task was given: a list of requirements, or the path of a file that holds them.

    A relative path starts at ``base``. Of a ``pyproject.toml`` the project's dependencies are taken, and what else is
    named (:class:`~airflow_provider_kinetic.packaging.pyproject.Selection`). None gives an empty text.

    :raises RequirementsError: an item is no requirement, or there is no such file, extra or group.
    """
    if value is None:
        return ""
    if isinstance(value, (str, Path)):
        return _from_file(str(value), base)
    for number, item in enumerate(value, 1):
        _check_item(number, item)
    return "".join(f"{item.strip()}\n" for item in value)


def _from_file(value: str, base: Path) -> str:
    selection = Selection.parse(value)
    file = base / Path(selection.path if selection else value).expanduser()
    if not file.is_file():
        raise RequirementsError(
            f"`requirements` names {value}, and there is no file {file}.",
            advice="Pass a list such as ['numpy>=2'], or the path of a requirements.txt or pyproject.toml.",
        )
    return _joined(Pyproject(file).selected(selection)) if selection else _read(file)


def filter_bundled(text: str) -> str:
    """Requirements for an image that brings JAX: its lines are taken out, all others stay as they are.

    :raises RequirementsError: a line cannot be installed where images are built.
    """
    return "".join(line.raw for line in _wanted(text))


def filter_prebuilt(text: str) -> str:
    """Requirements for a job that installs them when it starts; empty when nothing is left to install.

    Continued lines are joined.

    :raises RequirementsError: a line cannot be installed in the job.
    """
    result = "".join(f"{line.joined}\n" for line in _wanted(text))
    return result if result.strip() else ""


def _wanted(text: str) -> Iterator[_Line]:
    """Lines that the image does not bring, each of which can be installed."""
    for line in _lines(text):
        if line.is_brought_by_image:
            continue
        content = line.joined.strip()
        if reason := _local_reason(content):
            raise RequirementsError(
                f"Line {line.number} of the requirements, {without_logins(content)!r}, {reason}.",
                advice="Name a package, a git+https:// address or a URL: the image has nothing of this machine's disk. "
                "Code of your project travels with the job anyhow.",
            )
        if reason := _syntax_reason(content):
            raise RequirementsError(
                f"Line {line.number} of the requirements, {without_logins(content)!r}, is not a requirement: {reason}",
                advice="Write it as in a requirements.txt, for example 'numpy>=2'.",
            )
        yield line


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
    """Why only this machine can install ``line``; empty when others can."""
    if not line or line.startswith("#"):
        return ""
    editable = _EDITABLE.match(line)
    if editable:
        return "" if _REMOTE_EDITABLE.match(editable[1]) else "is an editable install of a local folder"
    if _INCLUDE.match(line):
        return "includes another file"
    if _LOCAL_INDEX.match(line):
        return "looks for packages on a local disk"
    if _LOCAL_PATH.match(line) or _LOCAL_ARCHIVE.match(line) or _DIRECT_LOCAL.match(line):
        return "is a local path"
    return ""


def _syntax_reason(line: str) -> str:
    """Why ``line`` is no requirement; empty when it is one, or something that only the installer can judge."""
    if not line or line.startswith(("#", "-")) or _URL.match(line) or "${" in line:
        return ""
    try:
        Requirement(_OPTIONS.split(line, maxsplit=1)[0])
    except InvalidRequirement as invalid:
        return str(invalid).splitlines()[0]
    return ""


def _check_item(number: int, item: object) -> None:
    reason = _syntax_reason(item.strip()) if isinstance(item, str) else f"it is of type {type(item).__name__}"
    if reason:
        raise RequirementsError(
            f"Item {number} of `requirements`, {without_logins(repr(item))}, is not a requirement: {reason}",
            advice="Write it as in a requirements.txt, for example 'numpy>=2'.",
        )


def _found(file: Path, start: Path) -> Requirements:
    text, warnings = _discovered(file)
    if file.parent != start and not (file.parent / ".git").exists():
        told = (
            f"Requirements are taken from {file}, above the code's folder {start} and with no repository around both."
        )
        warnings = (told, *warnings)
    return Requirements(text, file, warnings)


def _discovered(file: Path) -> tuple[str, tuple[str, ...]]:
    if file.suffix != ".toml":
        return _read(file), ()
    dependencies, warning = Pyproject(file).dependencies()
    return _joined(dependencies), (warning,) if warning else ()


def _joined(items: Sequence[str]) -> str:
    return "".join(f"{item}\n" for item in items)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, ValueError) as failure:
        raise RequirementsError(
            f"The requirements in {file} cannot be read: {failure}.", advice="Correct the file, or pass `requirements`."
        ) from failure
