"""Which folder travels with the function, and how the job finds its modules again.

The rules are those of ``contract`` 6.5: up from the function's file, out of its package, to the folder that looks like
a project. In Airflow a DAG file is loaded under a made-up module name and from a folder that is often no project at
all; nothing here depends on either.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.model.errors import ConfigurationError

PROJECT_MARKERS = ("pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", ".git")
INSTALL_FOLDERS = ("site-packages", "dist-packages")
ENV_ROOT = "KINETIC_PACKAGE_ROOT"


@dataclass(frozen=True)
class PackagingPlan:
    """All paths are real; relative ones use ``/`` and are relative to ``root``."""

    root: Path
    """The folder that is packed."""
    entry_rel: str
    """The code folder; empty where it is the root."""
    client_cwd_rel: str | None
    """The submitter's working directory; None outside of the root."""
    sys_path_rel: tuple[str, ...]
    """Import folders; the first is the root itself, as an empty string."""
    code_folder: Path
    """Folder of the function's file."""

    def wire(self) -> dict[str, Any]:
        """The keys of ``.kinetic/plan.json`` (contract 5.4)."""
        return {
            "package_root": str(self.root),
            "entry_rel": self.entry_rel,
            "client_cwd_rel": self.client_cwd_rel,
            "sys_path_rel": list(self.sys_path_rel),
        }


def plan_for(
    func: Callable[..., Any], *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> PackagingPlan:
    """The plan for one function.

    A function without a file of its own (typed into a prompt, made by ``exec``, part of an installed package) takes
    the working directory for its code folder.

    :raises ConfigurationError: ``KINETIC_PACKAGE_ROOT`` is no folder or does not contain the function's file, or there
        is no folder that could sensibly be packed.
    """
    environ = os.environ if environ is None else environ
    here = Path(os.path.realpath(cwd or Path.cwd()))
    source = source_folder(func)
    override = environ.get(ENV_ROOT)
    if override:
        root, folder = _given_root(override, source, here)
    else:
        folder = source or _sensible(here, func)
        root = _project_root(_outside_packages(folder))
        if root == Path(root.anchor):
            raise _nothing_sensible(f"The function's file lies in {root}", "")
    return PackagingPlan(
        root=root,
        entry_rel=_relative(folder, root) or "",
        client_cwd_rel=_relative(here, root),
        sys_path_rel=_import_folders(root),
        code_folder=folder,
    )


def plain_function(func: Any) -> Any:
    """What the user wrote under partials, bound methods, decorators and callable objects."""
    for _ in range(100):  # a wrapper that wraps itself ends here
        inner = _inside(func)
        if inner is None:
            return func
        func = inner
    return func


def _inside(func: Any) -> Any:
    if isinstance(func, functools.partial):
        return func.func
    for link in ("__wrapped__", "__func__"):
        inner = getattr(func, link, None)
        if callable(inner):
            return inner
    if not hasattr(func, "__code__") and not isinstance(func, type):
        call = getattr(type(func), "__call__", None)  # noqa: B004 - the code is wanted, not whether it is callable
        return call if hasattr(call, "__code__") else None
    return None


def source_folder(func: Callable[..., Any]) -> Path | None:
    """Folder of the file in which the function was written; None where there is none or it belongs to an installation.

    Inside a zip archive of DAG files the folder is that of the archive.
    """
    inner = plain_function(func)
    code = getattr(inner, "__code__", None)
    module = sys.modules.get(getattr(inner, "__module__", None) or "")
    for name in (getattr(module, "__file__", None), getattr(code, "co_filename", None)):
        if not isinstance(name, str) or not os.path.isabs(name):  # noqa: PTH117
            continue
        file = Path(real_file(name))
        folder = next(parent for parent in file.parents if parent.is_dir())
        archived = folder != file.parent and folder.joinpath(file.relative_to(folder).parts[0]).is_file()
        if (file.is_file() or archived) and not is_installed(file, folder):
            return folder
    return None


def real_file(name: str) -> str:
    """``name`` in its real folder. A linked file stays where the link is: that is where its siblings are found."""
    folder, base = os.path.split(name)
    return str(Path(os.path.realpath(folder)) / base)


@functools.cache
def _installation() -> tuple[tuple[str, ...], tuple[str, ...]]:
    libraries = {os.path.realpath(p) for key, p in sysconfig.get_paths().items() if key not in ("data", "scripts")}
    prefixes = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
    return tuple(sorted(libraries)), tuple(sorted(prefixes))


def in_install_folder(path: str) -> bool:
    return any(f"{os.sep}{name}{os.sep}" in path for name in INSTALL_FOLDERS)


def is_installed(file: Path | str, root: Path) -> bool:
    """Whether a file belongs to the interpreter or to an installed package rather than to the user.

    A prefix that holds the project itself (``/usr`` in images that keep code in ``/usr/src/app``) says nothing.
    """
    path = str(file)
    if in_install_folder(path):
        return True
    libraries, prefixes = _installation()
    around = f"{root}{os.sep}"
    telling = [prefix for prefix in prefixes if not around.startswith(prefix.rstrip(os.sep) + os.sep)]
    return path.startswith(tuple(folder + os.sep for folder in (*libraries, *telling)))


def _given_root(override: str, source: Path | None, here: Path) -> tuple[Path, Path]:
    root = Path(os.path.realpath(Path(override).expanduser()))
    if not root.is_dir():
        raise ConfigurationError(
            f"{ENV_ROOT}={override} is not a folder.",
            advice=f"Set {ENV_ROOT} to the folder of your project on the machine that submits, or unset it.",
        )
    if source is None:
        return root, here if here.is_relative_to(root) else root
    if not source.is_relative_to(root):
        raise ConfigurationError(
            f"{ENV_ROOT}={override} does not contain the function's folder {source}.",
            advice=f"Set {ENV_ROOT} to {source} or to a folder above it, or unset it.",
        )
    return root, source


def _sensible(here: Path, func: Callable[..., Any]) -> Path:
    if here in (_home(), Path(here.anchor)):
        name = getattr(plain_function(func), "__qualname__", type(func).__name__)
        raise _nothing_sensible(
            f"{name}() has no source file and the working directory is {here}", "Define the function in a file, "
        )
    return here


def _nothing_sensible(cause: str, first: str) -> ConfigurationError:
    advice = f"set {ENV_ROOT} to the folder that should travel with the function."
    return ConfigurationError(
        f"{cause}, which cannot be packed.", advice=first + advice if first else advice.capitalize()
    )


def _outside_packages(folder: Path) -> Path:
    while (folder / "__init__.py").is_file() and not _is_border(folder):
        folder = folder.parent
    return folder


def _project_root(start: Path) -> Path:
    for folder in _upwards(start):
        if any((folder / marker).exists() for marker in PROJECT_MARKERS):
            return folder
    return start


def _upwards(start: Path) -> Iterator[Path]:
    """``start`` and the folders above it, without home and root unless the search starts there."""
    yield start
    if _is_border(start):
        return
    for folder in start.parents:
        if _is_border(folder):
            return
        yield folder


def _is_border(folder: Path) -> bool:
    return folder in (_home(), Path(folder.anchor))


def _home() -> Path:
    return Path(os.path.realpath(Path.home()))


def _import_folders(root: Path) -> tuple[str, ...]:
    found = set()
    for entry in sys.path:
        path = Path(os.path.realpath(entry or Path.cwd()))
        relative = _relative(path, root)
        if relative and path.is_dir() and not set(path.parts) & set(INSTALL_FOLDERS):
            found.add(relative)
    return ("", *sorted(found))


def _relative(path: Path, root: Path) -> str | None:
    """``path`` below ``root`` with ``/``, empty for the root itself, None outside."""
    if path == root:
        return ""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
