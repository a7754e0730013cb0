"""Dependencies that a ``pyproject.toml`` declares: those of the project, of its extras and of its groups.

Only what a standard describes is read (PEP 621, PEP 735). Where a file has its dependencies elsewhere, the answer says
where, and what to do: nobody shall find out in the job that nothing was installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from airflow_provider_kinetic.model.errors import RequirementsError

_NAMED = re.compile(r"(?P<path>.+\.toml)(?:\[(?P<extras>[^\[\]]+)\]|:(?P<group>[^:/\\]+))?", re.DOTALL)
_OWN_EXTRAS = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*\[([^\]]*)\]\s*(?:;.*)?")
_HOW_TO_NAME = (
    "Name an extra as requirements='pyproject.toml[extra]', a dependency group as requirements='pyproject.toml:group'."
)


@dataclass(frozen=True)
class Selection:
    """Which dependencies of which file.

    ``pyproject.toml`` is the project's, ``pyproject.toml[a,b]`` the project's and those of two extras, as pip installs
    them; ``pyproject.toml:group`` is a dependency group alone, as pip's ``--group`` has it.
    """

    path: str
    extras: tuple[str, ...] = ()
    group: str = ""

    @classmethod
    def parse(cls, text: str) -> Selection | None:
        """None when ``text`` names no TOML file."""
        named = _NAMED.fullmatch(text)
        if named is None:
            return None
        extras = (named["extras"] or "").split(",")
        return cls(named["path"], tuple(extra.strip() for extra in extras if extra.strip()), named["group"] or "")


class Pyproject:
    """One file.

    :raises RequirementsError: it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._document = tomllib.loads(file.read_text("utf-8-sig"))
        except (OSError, ValueError) as failure:
            raise RequirementsError(
                f"The requirements in {file} cannot be read: {failure}.",
                advice="Correct the file, or pass `requirements`.",
            ) from failure
        self._file = file
        self._project = _table(self._document, "project")

    def dependencies(self) -> tuple[list[str], str]:
        """The project's own, and a warning when it declares none."""
        found = self._project.get("dependencies")
        if isinstance(found, list):
            return [str(item) for item in found], ""
        where = self._elsewhere()
        if where:
            told = f"{self._file} has dependencies under {where} only; just `project.dependencies` is installed."
            return [], f"{told} {self._how()}"
        return [], f"{self._file} has no `project.dependencies`; nothing is installed."

    def selected(self, selection: Selection) -> list[str]:
        """What was asked for by name.

        :raises RequirementsError: the file does not declare it.
        """
        if selection.group:
            return self._group(selection.group)
        found, warning = self.dependencies()
        if warning and not selection.extras:
            raise RequirementsError(warning, advice=self._how())
        return [*found, *self._extras(selection.extras, set())]

    def _extras(self, names: Sequence[str], seen: set[str]) -> Iterator[str]:
        declared = {canonicalize_name(name): items for name, items in self._optional().items()}
        for name in map(canonicalize_name, names):
            if name not in declared:
                raise self._missing("extra", name, list(self._optional()))
            if name not in seen:
                seen.add(name)
                for item in declared[name]:
                    yield from self._extras(own, seen) if (own := self._own_extras(str(item))) else [str(item)]

    def _own_extras(self, item: str) -> list[str]:
        """Extras of this very project, which one extra may be made of: ``all = ["project[a,b]"]``."""
        named = _OWN_EXTRAS.fullmatch(item)
        mine = str(self._project.get("name", ""))
        if named and mine and canonicalize_name(named[1]) == canonicalize_name(mine):
            return [extra.strip() for extra in named[2].split(",") if extra.strip()]
        return []

    def _group(self, name: str) -> list[str]:
        from packaging.dependency_groups import resolve_dependency_groups

        groups = _table(self._document, "dependency-groups")
        if canonicalize_name(name) not in map(canonicalize_name, groups):
            raise self._missing("dependency group", name, list(groups))
        try:
            return list(resolve_dependency_groups(groups, name))
        except (LookupError, TypeError, ValueError, ExceptionGroup) as failure:
            reasons = "; ".join(str(reason) for reason in getattr(failure, "exceptions", [failure]))
            raise RequirementsError(
                f"The dependency group {name!r} in {self._file} cannot be resolved: {reasons}.",
                advice="Correct `dependency-groups`: PEP 735 says what may stand there.",
            ) from failure

    def _optional(self) -> Mapping[str, Any]:
        return _table(self._project, "optional-dependencies")

    def _missing(self, kind: str, name: str, known: list[str]) -> RequirementsError:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        return RequirementsError(
            f"{self._file} has no {kind} {name!r}; {has}.", advice=f"{_HOW_TO_NAME} {self._poetry()}"
        )

    def _elsewhere(self) -> str:
        places = {
            "`tool.poetry.dependencies`": "dependencies" in self._poetry_table(),
            "`dependency-groups`": "dependency-groups" in self._document,
            "`project.optional-dependencies`": "optional-dependencies" in self._project,
            "`project.dynamic`": "dependencies" in self._project.get("dynamic", ()),
        }
        return ", ".join(place for place, there in places.items() if there)

    def _how(self) -> str:
        """What to do where the dependencies are not the project's."""
        if self._poetry_table():
            return self._poetry()
        if "dependencies" in self._project.get("dynamic", ()):
            return "Name the file that they are read from: requirements='requirements.txt'."
        return _HOW_TO_NAME

    def _poetry(self) -> str:
        if not self._poetry_table():
            return ""
        return (
            "Poetry's own tables are not read: declare `project.dependencies` (Poetry 2 reads them), or write a "
            "requirements.txt with `poetry export` and name that."
        )

    def _poetry_table(self) -> Mapping[str, Any]:
        return _table(_table(self._document, "tool"), "poetry")


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
