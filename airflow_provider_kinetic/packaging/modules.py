"""Which modules travel inside the payload, because the job could not import them.

By value is what the user wrote (``design`` 3.5): modules of the project that are not part of an installation. The
registration is only a permission: cloudpickle still sends nothing that the function does not reach.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow_provider_kinetic.packaging.context import DEFAULT_EXCLUDED_FOLDERS
from airflow_provider_kinetic.packaging.plan import PackagingPlan, in_install_folder, is_installed, plain_function

NEVER = frozenset({"__main__", "__mp_main__", "airflow", "cloudpickle", "airflow_provider_kinetic"})
"""Top-level names: cloudpickle sends ``__main__`` by value anyhow, and the rest belongs to the submitter."""

_REGISTRY = threading.RLock()


def top_level(name: str) -> str:
    return name.partition(".")[0]


def by_value_modules(plan: PackagingPlan, func: Callable[..., Any]) -> list[ModuleType]:
    """Loaded modules that the user wrote: files under the plan's root, and the module of the function itself."""
    own = getattr(plain_function(func), "__module__", None)
    folders: dict[str, str] = {}
    return [
        module
        for name, module in sorted(sys.modules.copy().items())
        if issubclass(type(module), ModuleType)  # some libraries put other objects there
        and module.__name__ == name  # an alias would be registered under a name that is not its own
        and top_level(name) not in NEVER
        and _is_written_by_user(module, plan, own, folders)
    ]


def _is_written_by_user(module: ModuleType, plan: PackagingPlan, own: str | None, folders: dict[str, str]) -> bool:
    file = _file(module)
    is_own = module.__name__ == own
    if file is None or (in_install_folder(file) and not is_own):  # most modules, before any question to the disk
        return False
    folder, base = os.path.split(file)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    real = f"{folders[folder]}{os.sep}{base}"
    if is_own:
        return module.__name__.startswith("unusual_prefix_") or not is_installed(real, plan.root)
    prefix = f"{plan.root}{os.sep}"
    if not real.startswith(prefix) or is_installed(real, plan.root):
        return False
    return DEFAULT_EXCLUDED_FOLDERS.isdisjoint(Path(real[len(prefix) :]).parts)


def _file(module: ModuleType) -> str | None:
    """The file of a module, or what would be the file of a package that has none."""
    attributes = vars(module)  # no getattr: a module may compute what it does not have
    file = attributes.get("__file__")
    if file is None and attributes.get("__spec__") is not None:
        folder = next(iter(attributes.get("__path__") or ()), None)
        file = None if folder is None else f"{folder}{os.sep}__init__.py"
    return file if isinstance(file, str) else None


@contextmanager
def pickled_by_value(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Have cloudpickle send these modules by value, in this block and for one thread at a time.

    cloudpickle's registry belongs to the process: exactly what was added here is taken out again.
    """
    import cloudpickle

    with _REGISTRY:
        present = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in modules if module.__name__ not in present]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)
