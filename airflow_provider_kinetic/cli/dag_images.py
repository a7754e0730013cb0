"""Which images are wanted: by the tasks of a DAG file, or by the options of the command line."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli.command import tell
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model import accelerators
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.operators.build_image import ACCELERATOR
from airflow_provider_kinetic.operators.requirements import folder_of, requirements_text

if TYPE_CHECKING:
    from airflow_provider_kinetic.model.images import ImageRequest

_DECISIVE = (
    *("accelerator", "category", "container_image", "requirements", "base_image", "build_non_root"),
    *("build_repository", "project", "zone", "cluster", "kinetic_conn_id"),
)
"""Parameters of a task that decide which image it needs, and where that is."""

_TOLD = (
    *_DECISIVE,
    *("namespace", "build_region", "build_worker_pool", "build_machine_type", "build_tags", "build_service_account"),
)
"""Parameters that have to be known before its image can be built."""

_FILE = re.compile(r"\.(txt|toml)($|[\[:])")
"""A requirements.txt, a pyproject.toml, with extras or a group of it."""


@dataclass(frozen=True)
class Wanted:
    """An image, where it is built, and for which tasks."""

    hook: KineticHook
    request: ImageRequest
    tasks: tuple[str, ...] = ()


def wanted(args: Namespace) -> Sequence[Wanted]:
    """Each image once.

    :raises ConfigurationError: the DAG file cannot be imported or has no task for which an image is built.
    """
    if args.dag_file is None:
        return _merged(_by_options(args))
    if args.requirements or args.accelerator or args.base_image:
        raise ConfigurationError(
            "`--requirements`, `--accelerator` and `--base-image` describe an image without a DAG file.",
            advice="Leave them out, or the DAG file.",
        )
    found = _merged(_by_tasks(_dags(args.dag_file), args.conn_id))
    if not found:
        raise ConfigurationError(f"{args.dag_file} has no task for which an image is built.")
    return found


def _merged(found: Iterator[Wanted]) -> Sequence[Wanted]:
    by_uri: dict[str, Wanted] = {}
    for one in found:
        uri = one.hook.ports.builder.uri(one.request)
        known = by_uri.get(uri)
        by_uri[uri] = one if known is None else replace(known, tasks=(*known.tasks, *one.tasks))
    return [*by_uri.values()]


def _by_options(args: Namespace) -> Iterator[Wanted]:
    hook = KineticHook(args.conn_id or KineticHook.default_conn_name)
    given = args.requirements
    text = requirements_text(
        given[0] if given and len(given) == 1 and _FILE.search(given[0]) else given, Path.cwd(), tell
    )
    for accelerator in args.accelerator or ["cpu"]:
        category = accelerators.parse(accelerator).category
        yield Wanted(hook, hook.ports.builder.request_for(category, text, args.base_image))


def _dags(dag_file: str) -> Sequence[Any]:
    from airflow.dag_processing.dagbag import DagBag

    path = Path(dag_file).absolute()
    if not path.is_file():
        raise ConfigurationError(f"There is no DAG file {path}.")
    bag = DagBag(path, safe_mode=False, load_op_links=False)
    if bag.import_errors:
        raise ConfigurationError(f"{path} cannot be imported: {next(iter(bag.import_errors.values())).strip()}")
    return [*bag.dags.values()]


def _by_tasks(dags: Sequence[Any], conn_id: str | None) -> Iterator[Wanted]:
    for dag in dags:
        for task in dag.tasks:
            name = f"{dag.dag_id}.{task.task_id}"
            if (plain := _unmapped(task, name)) is None or not _builds(plain):
                continue
            if _is_templated([getattr(plain, parameter, None) for parameter in _TOLD]):
                tell(f"{name} is left out: its parameters are known when it runs.")
                continue
            hook = plain.hook if conn_id is None else KineticHook(conn_id, overrides=plain.hook.overrides)
            yield Wanted(hook, _request(hook, plain), (name,))


def _unmapped(task: Any, name: str) -> Any:
    """A task whose parameters can be read; None for one of a mapped task that differ from each other."""
    if not task.is_mapped:
        return task
    expanded = getattr(task.expand_input, "value", None)
    of_function = getattr(task, "op_kwargs_expand_input", None)
    if isinstance(expanded, Mapping) and set(expanded).isdisjoint(_DECISIVE):
        return task.unmap({} if of_function is None else {"op_kwargs": _some(of_function)})
    tell(f"{name} is left out: it is mapped over what decides its image.")
    return None


def _some(expand_input: Any) -> dict[str, Any]:
    """Arguments that a function takes: their values decide no image."""
    value = expand_input.value
    names = value if isinstance(value, Mapping) else value[0] if isinstance(value, Sequence) and value else ()
    return dict.fromkeys(names)


def _builds(task: Any) -> bool:
    """Whether an image is built for the task unless there is one."""
    if not hasattr(task, "kinetic_conn_id") or not hasattr(task, "requirements") or getattr(task, "job_id", None):
        return False
    return getattr(task, "container_image", None) in (None, "bundled")


def _request(hook: KineticHook, task: Any) -> ImageRequest:
    function = getattr(task, "python_callable", None)
    folder = Path(task.dag.fileloc).parent if function is None else folder_of(function)
    text = requirements_text(task.requirements, folder, tell)
    category = getattr(task, "category", None) or accelerators.parse(task.accelerator or ACCELERATOR).category
    return hook.ports.builder.request_for(category, text)


def _is_templated(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return isinstance(value, Sequence) and any(_is_templated(item) for item in value)
