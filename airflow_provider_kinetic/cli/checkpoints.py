"""``airflow kinetic checkpoints …``: one function a command."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_kinetic.cli.command import audited, command, tell
from airflow_provider_kinetic.cli.output import FOR_PEOPLE, Row, ago, show, show_one, size, timestamp
from airflow_provider_kinetic.cli.trials import open_trial
from airflow_provider_kinetic.job.training.checkpoints import KINETIC
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.lifecycle.reader import TrialReader, View
from airflow_provider_kinetic.lifecycle.reader_facts import COMPLETED, CheckpointInfo
from airflow_provider_kinetic.model.errors import ConfigurationError

_SHOWN = 60
"""Characters of the metadata in a line for people."""
_WAY = re.compile(r":(min|max)$")

_COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "checkpoint": lambda row: row["name"],
    "step": lambda row: row["step"],
    "attempt": lambda row: row["attempt"] or None,
    "state": lambda row: row["state"],
    "size": lambda row: size(row["bytes"]),
    "created": lambda row: ago(row["created_at"]),
    "pinned": lambda row: "yes" if row["pinned"] else None,
    "metadata": lambda row: _in_short(row["metadata"]),
}
_PRUNED: Mapping[str, Callable[[Row], Any]] = {
    **{title: _COLUMNS[title] for title in ("checkpoint", "step", "size", "created")},
    "action": lambda row: row["action"],
    "outcome": lambda row: row["outcome"],
    "reason": lambda row: row["why"],
}
_WORDING: Mapping[str, Callable[[Row], Any]] = {
    "created_at": lambda row: row["created_at"] and f"{row['created_at']} ({ago(row['created_at'])})",
    "bytes": lambda row: size(row["bytes"]),
    "metadata": lambda row: json.dumps(row["metadata"]) if row["metadata"] else None,
}


@command
def list(args: Namespace) -> None:
    """All checkpoints of a trial, by step, Orbax's too."""
    _, reader = open_trial(args)
    view = reader.look()
    if args.output in FOR_PEOPLE:
        _tell_story(view)
    show([_row(each) for each in view.checkpoints.all()], args.output, _COLUMNS)


def _tell_story(view: View) -> None:
    state = view.state()
    where = "" if state.step is None else f", step {state.step}"
    story = state.story()
    tell(f"The trial is {state.state}, attempt {state.attempt}{where}{f'; {story}' if story else ''}.")


@command
def show_(args: Namespace) -> None:
    """One checkpoint."""
    _, reader = open_trial(args)
    show_one(_row(_chosen(reader.look(), args.checkpoint)), args.output, _WORDING)


@audited
def pin(args: Namespace) -> None:
    """Retention leaves it alone from now on."""
    reader, found = _of_ours(args)
    reader.vault.write(reader.layout.pin(found.name), b"")
    tell(f"Checkpoint {found.name} is kept until `unpin`.")


@audited
def unpin(args: Namespace) -> None:
    """What becomes of it decides retention again."""
    reader, found = _of_ours(args)
    reader.vault.delete(reader.layout.pin(found.name))
    tell(f"Checkpoint {found.name} is kept as long as the others.")


@audited
def prune(args: Namespace) -> None:
    """Delete checkpoints of a trial that is over."""
    from airflow_provider_kinetic.lifecycle import checkpoint_pruning

    keep = Keep(latest=args.keep_latest, best=_best(args.keep_best), every=args.keep_every)
    _, reader = open_trial(args)
    view = reader.look()
    if not args.force:
        checkpoint_pruning.check_finished(view)
    judged = checkpoint_pruning.judge_checkpoints(view, keep, args.older_than)
    gone = set() if args.dry_run else {each.checkpoint.name for each in checkpoint_pruning.prune(reader, judged)}
    rows = [
        {
            **_row(each.checkpoint),
            "action": "remove" if each.due else "keep",
            "why": each.why,
            "outcome": "removed" if each.checkpoint.name in gone else None,
        }
        for each in judged
    ]
    show(rows, args.output, _PRUNED)
    due = [each.checkpoint.bytes for each in judged if each.due]
    if args.dry_run and due:
        tell(f"{len(due)} of {len(judged)} checkpoints would be removed ({size(sum(due))}). Nothing was done.")


@command
def copy(args: Namespace) -> None:
    """A checkpoint as a folder of its own; where it is stands on stdout."""
    from airflow_provider_kinetic.lifecycle.checkpoint_copy import copy_checkpoint

    hook, reader = open_trial(args)
    found = _chosen(reader.look(), args.checkpoint)
    place = copy_checkpoint(hook.ports.store, found, args.destination)
    tell(f"{found.files} files, {size(found.bytes)}, of step {found.step}.")
    print(place)


def _of_ours(args: Namespace) -> tuple[TrialReader, CheckpointInfo]:
    _, reader = open_trial(args)
    found = _chosen(reader.look(), args.checkpoint)
    if found.kind != KINETIC:
        raise ConfigurationError(
            f"{found.uri} belongs to Orbax, whose CheckpointManager decides what is kept.",
            advice="Keep it with the manager's preservation policy, or `airflow kinetic checkpoints copy` it.",
        )
    return reader, found


def _chosen(view: View, wanted: str) -> CheckpointInfo:
    """By name, by step (the last of several that is whole), ``latest``, or ``best:loss`` and ``best:accuracy:max``."""
    found: CheckpointInfo | None
    if wanted == "latest":
        found = view.checkpoints.latest()
    elif wanted.startswith("best:"):
        metric, mode = _metric(wanted.removeprefix("best:"))
        found = view.checkpoints.best(metric, mode)
    else:
        same = [each for each in view.checkpoints.all() if wanted in (each.name, str(each.step))]
        found = max(same, key=lambda each: (each.name == wanted, each.state == COMPLETED, each.name), default=None)
    if found is None:
        raise ConfigurationError(
            f"There is no checkpoint {wanted!r} in {view.listing.layout.output_dir}.",
            advice="Name one as `airflow kinetic checkpoints list` does, by its step, as `latest` or as `best:METRIC`.",
        )
    return found


def _best(given: str | None) -> tuple[str, int, str] | None:
    if given is None:
        return None
    metric, mode = _metric(given)
    return metric, 1, mode


def _metric(given: str) -> tuple[str, str]:
    """``loss``, ``accuracy:max``."""
    matched = _WAY.search(given)
    return (given[: matched.start()], matched[1]) if matched else (given, "min")


def _row(info: CheckpointInfo) -> Row:
    """Its keys are for scripts and stay."""
    row = asdict(info)
    created, expires = row.pop("created"), row.pop("expires")
    return {**row, "metadata": dict(info.metadata), "created_at": timestamp(created), "expires_at": timestamp(expires)}


def _in_short(metadata: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in metadata.items())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
