"""``airflow kinetic metrics``: the numbers that a trial has logged, over all its attempts."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.cli.command import command, tell
from airflow_provider_kinetic.cli.output import Row, show
from airflow_provider_kinetic.cli.trials import open_trial
from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.job.training.series import Row as Logged

_COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    name: lambda row, name=name: row[name]  # type: ignore[misc]  # mypy does not know a lambda's default
    for name in ("group", "metric", "last", "min", "max", "count", "step")
}


@command
def metrics(args: Namespace) -> None:
    """Figures of each metric; with ``--csv`` all rows, with ``--tensorboard`` event files."""
    if args.csv and args.tensorboard is not None:
        raise ConfigurationError(
            "`--csv` and `--tensorboard` cannot be used together.", advice="Leave one of them out."
        )
    _, reader = open_trial(args)
    if not args.csv and args.tensorboard is None:
        rows = [_row(name, curve) for name, curve in reader.metrics(max_points=1)["series"].items()]
        show([row for row in rows if _wanted(args, row["group"], row["metric"])], args.output, _COLUMNS)
        return
    logged = [row for row in (_chosen(args, row) for row in reader.rows()) if row.values]
    if args.csv:
        write_csv(logged, sys.stdout)
        return
    if not logged:
        raise ConfigurationError("The trial has logged nothing of that kind: there are no event files to write.")
    _export(logged, args.tensorboard)


def write_csv(rows: Iterable[Logged], stream: Any) -> None:
    """A line for each step of a group. NaN and infinities are ``NaN``, ``Infinity`` and ``-Infinity``."""
    known = [*rows]
    names = sorted({name for row in known for name in row.values})
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["group", "step", "attempt", "time", *names])
    for row in known:
        facts = (row.group, row.step, row.attempt, f"{row.time:.3f}")
        table.writerow([*facts, *(row.values.get(name, "") for name in names)])


def _export(rows: Iterable[Logged], directory: str) -> None:
    from airflow_provider_kinetic.job.training.tensorboard import write_events
    from airflow_provider_kinetic.job.vaults import FileVault, as_uri

    target = as_uri(directory)
    if not target.startswith("file://"):
        raise ConfigurationError("`--tensorboard` takes a folder of this machine.")
    counts = write_events(FileVault(), target, rows)
    groups = "1 group" if len(counts) == 1 else f"{len(counts)} groups"
    tell(f"{sum(counts.values())} values of {groups}. `tensorboard --logdir {directory}` shows them.")


def _chosen(args: Namespace, row: Logged) -> Logged:
    return row._replace(values={name: each for name, each in row.values.items() if _wanted(args, row.group, name)})


def _wanted(args: Namespace, group: str, metric: str) -> bool:
    return (args.group is None or args.group == group) and (not args.metric or metric in args.metric)


def _row(name: str, curve: Mapping[str, Any]) -> Row:
    """Names of metrics may hold slashes, groups none: the first one parts them, as in `job.training.summary`."""
    group, _, metric = name.partition("/")
    points = curve["points"]
    facts = {key: curve[key] for key in ("last", "min", "max", "count")}
    return {"group": group, "metric": metric, **facts, "step": points[-1][0] if points else None}
