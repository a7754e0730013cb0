"""``airflow kinetic images …``: one function a command."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kinetic.cli.command import audited, command, explain, tell
from airflow_provider_kinetic.cli.output import Row, ago, show, size, timestamp
from airflow_provider_kinetic.hooks.images import used_images
from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.pruning import category_of, judge_images
from airflow_provider_kinetic.model.errors import InfrastructureError, KineticError

if TYPE_CHECKING:
    from airflow_provider_kinetic.cli.dag_images import Wanted
    from airflow_provider_kinetic.lifecycle.pruning import JudgedImage
    from airflow_provider_kinetic.model.images import Build, BuiltImage, Image

T = TypeVar("T")

BUILD_POLL = 1.0
"""Seconds between two looks at a build."""
_SHOWN = 3
"""Requirements in a line for people."""

_COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "tag": lambda row: row["tag"],
    "category": lambda row: row["category"],
    "built": lambda row: ago(row["created_at"]),
    "size": lambda row: size(row["size"]),
    "requirements": lambda row: _in_short(row["requirements"]),
    "jobs": lambda row: "?" if row["jobs"] is None else len(row["jobs"]),
}
_PRUNED: Mapping[str, Callable[[Row], Any]] = {
    **{title: _COLUMNS[title] for title in ("tag", "built", "size")},
    "action": lambda row: row["action"],
    "outcome": lambda row: row["outcome"],
    "reason": lambda row: row["why"],
}
_BUILT: Mapping[str, Callable[[Row], Any]] = {
    "image": lambda row: row["image"],
    "cached": lambda row: row["cached"],
    "for": lambda row: ", ".join(row["tasks"]),
    "log": lambda row: row["log_url"],
}


@command
def list(args: Namespace) -> None:
    """Every image that was built for a connection."""
    hook = KineticHook(args.conn_id)
    images = hook.ports.builder.images()
    used: Mapping[str, Sequence[str]] | None
    try:
        used = used_images(hook)
    except InfrastructureError as error:
        used = None  # what the repository says is worth showing without it
        tell(f"Which jobs use them is not known: {error.summary}")
    show([_row(image, None if used is None else used.get(image.uri, ())) for image in images], args.output, _COLUMNS)


def _row(image: BuiltImage, jobs: Sequence[str] | None) -> Row:
    """A line of a listing; its keys are for scripts and stay."""
    return {
        "tag": image.tag,
        "category": category_of(image.tag),
        "image": image.uri,
        "created_at": timestamp(image.created),
        "size": image.size,
        "requirements": None if image.requirements is None else requirement_names(image.requirements),
        "jobs": None if jobs is None else [*jobs],
    }


def requirement_names(text: str) -> Sequence[str]:
    """The packages of a requirements text with their versions; no URLs, which may hold a password."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in text.splitlines():
        try:
            requirement = Requirement(line.partition(" #")[0].strip().removesuffix("\\"))
        except InvalidRequirement:
            continue
        requirement.url = None
        found.append(str(requirement))
    return found


def _in_short(names: Sequence[str] | None) -> str | None:
    if names is None:
        return None
    more = f" +{len(names) - _SHOWN}" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@audited
def build(args: Namespace) -> None:
    """Have images built that are missing: those of a DAG file's tasks, or the one that the options describe."""
    from airflow_provider_kinetic.cli import dag_images

    begun = [(wanted, _attempt(wanted, partial(_begun, wanted))) for wanted in dag_images.wanted(args)]
    ended = [(wanted, found and _attempt(wanted, partial(_finished, wanted, found))) for wanted, found in begun]
    show([_built(wanted, image) for wanted, image in ended if image], args.output, _BUILT)
    if not all(image for _, image in ended):
        raise SystemExit(1)


def _attempt(wanted: Wanted, act: Callable[[], T]) -> T | None:
    """None where it failed: the others are built all the same."""
    try:
        return act()
    except KineticError as error:
        tell(f"Image {wanted.request.tag}")
        explain(error)
        return None


def _begun(wanted: Wanted) -> Image | Build:
    """All builds run at the same time."""
    from airflow_provider_kinetic.lifecycle.images import Waiting, begin

    ports, root = wanted.hook.ports, wanted.hook.target.store_root
    return ports.builder.find(wanted.request) or begin(ports, root, wanted.request, Waiting(), tell)


def _finished(wanted: Wanted, found: Image | Build) -> Image:
    from airflow_provider_kinetic.lifecycle.images import Waiting, finish
    from airflow_provider_kinetic.model.images import Image

    if isinstance(found, Image):
        return found
    return finish(wanted.hook.ports, wanted.hook.target.store_root, found, Waiting(poll=BUILD_POLL), tell)


def _built(wanted: Wanted, image: Image) -> Row:
    return {
        "tag": wanted.request.tag,
        "image": image.uri,
        "cached": image.cached,
        "build_id": image.build_id or None,
        "log_url": image.log_url or None,
        "tasks": [*wanted.tasks],
    }


@audited
def prune(args: Namespace) -> None:
    """Remove images that are old and that no job uses."""
    hook = KineticHook(args.conn_id)
    judged = judge_images(
        hook.ports.builder.images(), used_images(hook), older_than=args.older_than, keep=args.keep, now=time.time()
    )
    rows = [_pruned(hook, each, dry_run=args.dry_run) for each in judged]
    show(rows, args.output, _PRUNED)
    due = [each.image.size or 0 for each in judged if each.due]
    if args.dry_run and due:
        tell(f"{len(due)} of {len(judged)} images would be removed ({size(sum(due))}). Nothing was done.")
    if any((row["outcome"] or "").startswith("failed") for row in rows):
        raise SystemExit(1)


def _pruned(hook: KineticHook, each: JudgedImage, *, dry_run: bool) -> Row:
    outcome = None
    if each.due and not dry_run:
        try:
            hook.ports.builder.delete(each.image.tag)
            outcome = "removed"
        except KineticError as error:
            outcome = f"failed: {error.summary}"
    decided = {"action": "remove" if each.due else "keep", "why": each.why, "outcome": outcome}
    return {**_row(each.image, each.jobs), **decided}
