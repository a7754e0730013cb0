"""``airflow kinetic …``, as Airflow's own parser wants it described.

Every ``airflow`` command of this installation loads this module, so it holds words and no code: what a command
does is imported when it runs.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
    positive_int,
)

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``12h`` or ``7d``."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if matched is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 30m, 12h or 7d")
    return float(matched[1]) * _SECONDS[matched[2]]


_arg: Callable[..., Arg] = Arg  # it has no annotations
_positive = positive_int(allow_zero=False)  # type: ignore[no-untyped-call]
_not_negative = positive_int(allow_zero=True)  # type: ignore[no-untyped-call]

ARG_JOB = _arg(("job",), help="Id of the job: job-…", metavar="JOB")
ARG_CONN_ID = _arg(
    ("--conn-id",), help="Connection of type kinetic (default: kinetic_default)", default="kinetic_default"
)
ARG_NAMESPACE = _arg(("--namespace",), help="Namespace of the jobs (default: the connection's)")
ARG_ALL_NAMESPACES = _arg(
    ("--all-namespaces", "-A"), help="In every namespace that the connection may list jobs in", action="store_true"
)
ARG_TAIL = _arg(("--tail",), help="Only the last N lines", type=_positive, metavar="N")
ARG_FOLLOW = _arg(
    ("--follow", "-f"), help="Go on until the job is over; Ctrl-C leaves the job alone", action="store_true"
)
ARG_NO_K8S = _arg(("--no-k8s",), help="Leave the job's object on the cluster", action="store_true")
ARG_NO_ARTIFACTS = _arg(("--no-artifacts",), help="Leave the job's artifacts in the store", action="store_true")
ARG_FORCE = _arg(("--force",), help="Cancel the job if it still runs", action="store_true")
ARG_HARD = _arg(("--hard",), help="Without a chance to save anything", action="store_true")
ARG_DRY_RUN = _arg(("--dry-run",), help="Only show what would be done, and why", action="store_true")
ARG_OLDER_THAN = _arg(
    ("--older-than",),
    help="Age from which a job that is over is removed: 30m, 12h, 7d (default: 7d)",
    type=duration,
    default="7d",
    metavar="AGE",
)

ARG_DAG_FILE = _arg(
    ("dag_file",),
    help="Build for the tasks of this DAG file, each on its own connection",
    nargs="?",
    metavar="DAG_FILE",
)
ARG_TASKS_CONN_ID = _arg(("--conn-id",), help="Connection of type kinetic (default: the tasks'; kinetic_default)")
ARG_REQUIREMENTS = _arg(
    ("--requirements", "-r"),
    help="A requirements.txt or pyproject.toml, or requirements (default: the file in this folder or above)",
    nargs="+",
    metavar="REQUIREMENT",
)
ARG_ACCELERATOR = _arg(
    ("--accelerator",),
    help="One image for each kind: cpu, l4, v5e-4, … (default: cpu)",
    nargs="+",
    metavar="ACCELERATOR",
)
ARG_BASE_IMAGE = _arg(("--base-image",), help="What the image starts from (default: the connection's)", metavar="IMAGE")
ARG_IMAGE_AGE = _arg(
    ("--older-than",),
    help="Age from which an image is removed: 30m, 12h, 30d (default: 30d)",
    type=duration,
    default="30d",
    metavar="AGE",
)
ARG_KEEP = _arg(
    ("--keep",), help="Keep the N newest of each category (default: 1)", type=_not_negative, default=1, metavar="N"
)

ARG_TRIAL = _arg(
    ("trial",),
    help="Output directory (gs://…, /folder, ./folder), id of a job (job-…), or DAG_ID/TASK_ID/RUN_ID",
    metavar="TRIAL",
)
ARG_MAP_INDEX = _arg(("--map-index",), help="Which of a mapped task, with DAG_ID/TASK_ID/RUN_ID", type=int, metavar="N")
ARG_CHECKPOINT = _arg(
    ("checkpoint",),
    help="Name, step, latest, best:loss or best:accuracy:max",
    metavar="CHECKPOINT",
)
ARG_DESTINATION = _arg(
    ("destination",), help="A folder that is not there yet, or an empty place in the store (gs://…)", metavar="TO"
)
ARG_KEEP_LATEST = _arg(("--keep-latest",), help="The N last ones (default: 2)", type=_positive, default=2, metavar="N")
ARG_KEEP_BEST = _arg(("--keep-best",), help="The best by this metadata: loss, accuracy:max", metavar="METRIC[:max]")
ARG_KEEP_EVERY = _arg(("--keep-every",), help="The first of each N steps", type=_positive, metavar="N")
ARG_CHECKPOINT_AGE = _arg(
    ("--older-than",), help="Younger ones stay: 30m, 12h, 7d (default: no limit)", type=duration, metavar="AGE"
)
ARG_FORCE_PRUNE = _arg(("--force",), help="Also if the trial may still be running", action="store_true")
ARG_METRIC = _arg(("--metric",), help="Only this one; may be repeated", action="append", metavar="NAME")
ARG_GROUP = _arg(("--group",), help="Only of this group, such as train", metavar="NAME")
ARG_CSV = _arg(("--csv",), help="All rows as CSV", action="store_true")
ARG_TENSORBOARD = _arg(("--tensorboard",), help="Write event files for TensorBoard into this folder", metavar="DIR")

_OF_ONE_JOB = (ARG_JOB, ARG_CONN_ID)
_OF_ONE_TRIAL = (ARG_TRIAL, ARG_MAP_INDEX, ARG_CONN_ID)


def _command(
    name: str,
    help: str,
    *args: Arg,
    module: str = "jobs",
    function: str | None = None,
    description: str | None = None,
) -> ActionCommand:
    implementation = f"airflow_provider_kinetic.cli.{module}.{function or name}"
    return ActionCommand(
        name=name, help=help, func=lazy_load_command(implementation), args=(*args, ARG_VERBOSE), description=description
    )


def get_kinetic_cli_commands() -> list[GroupCommand]:
    """What ``get_provider_info`` names under ``cli``."""
    jobs = (
        _command("list", "The jobs of a connection, newest first", ARG_CONN_ID, ARG_NAMESPACE, ARG_OUTPUT),
        _command("status", "How a job is, also after its clean-up", *_OF_ONE_JOB, ARG_OUTPUT),
        _command("logs", "What a job printed", *_OF_ONE_JOB, ARG_TAIL, ARG_FOLLOW),
        _command("result", "The value of a job that is over, as JSON", *_OF_ONE_JOB),
        _command("cancel", "Stop a job; its artifacts stay", *_OF_ONE_JOB),
        _command(
            "cleanup",
            "Remove a job's object and artifacts; its outputs and its result stay",
            *_OF_ONE_JOB,
            ARG_NO_K8S,
            ARG_NO_ARTIFACTS,
            ARG_FORCE,
        ),
        _command("preempt", "Take the machine away from a job, to see it resume", *_OF_ONE_JOB, ARG_HARD),
    )
    gc = _command(
        "gc",
        "Cancel and remove jobs that no task of this Airflow wants any more",
        ARG_CONN_ID,
        ARG_NAMESPACE,
        ARG_ALL_NAMESPACES,
        ARG_DRY_RUN,
        ARG_OLDER_THAN,
        ARG_OUTPUT,
        module="gc",
        description="Cancels running jobs whose task is over or gone, and removes finished ones from a certain age on. "
        "Jobs of other installations are listed and never touched. Needs Airflow's database.",
    )
    groups = [
        GroupCommand(name="jobs", help="Look at jobs and act on them", subcommands=jobs),
        GroupCommand(name="images", help="Images that were built for jobs", subcommands=_images()),
        GroupCommand(name="checkpoints", help="What trials have saved", subcommands=_checkpoints()),
        _command(
            "metrics",
            "What a trial has logged, over all its attempts",
            *(ARG_TRIAL, ARG_METRIC, ARG_GROUP, ARG_CSV, ARG_TENSORBOARD, ARG_MAP_INDEX, ARG_CONN_ID, ARG_OUTPUT),
            module="metrics",
        ),
        gc,
    ]
    return [GroupCommand(name="kinetic", help="Jobs of Kinetic", subcommands=groups)]


def _images() -> tuple[ActionCommand, ...]:
    module = "images"
    return (
        _command("list", "The images of a connection, newest first", ARG_CONN_ID, ARG_OUTPUT, module=module),
        _command(
            "build",
            "Build what is missing, for the tasks of a DAG file or as the options say",
            *(ARG_DAG_FILE, ARG_REQUIREMENTS, ARG_ACCELERATOR, ARG_BASE_IMAGE, ARG_TASKS_CONN_ID, ARG_OUTPUT),
            module=module,
        ),
        _command(
            "prune",
            "Remove images that are old and that no job uses",
            *(ARG_CONN_ID, ARG_DRY_RUN, ARG_IMAGE_AGE, ARG_KEEP, ARG_OUTPUT),
            module=module,
        ),
    )


def _checkpoints() -> tuple[ActionCommand, ...]:
    module = "checkpoints"
    of_one = (ARG_TRIAL, ARG_CHECKPOINT, ARG_MAP_INDEX, ARG_CONN_ID)
    keeping = (ARG_KEEP_LATEST, ARG_KEEP_BEST, ARG_KEEP_EVERY, ARG_CHECKPOINT_AGE)
    return (
        _command("list", "The checkpoints of a trial, by step", *_OF_ONE_TRIAL, ARG_OUTPUT, module=module),
        _command("show", "One checkpoint", *of_one, ARG_OUTPUT, module=module, function="show_"),
        _command("pin", "Keep a checkpoint whatever retention says", *of_one, module=module),
        _command("unpin", "Leave a checkpoint to retention again", *of_one, module=module),
        _command(
            "prune",
            "Remove checkpoints of a trial that is over",
            *(*_OF_ONE_TRIAL, *keeping, ARG_DRY_RUN, ARG_FORCE_PRUNE, ARG_OUTPUT),
            module=module,
            description="What is kept is the union of the options; never removed are the last one and those that are "
            "pinned. What crashes left half saved or half deleted is removed too.",
        ),
        _command(
            "copy",
            "A checkpoint as a folder of its own, verified",
            *(ARG_TRIAL, ARG_CHECKPOINT, ARG_DESTINATION, ARG_MAP_INDEX, ARG_CONN_ID),
            module=module,
        ),
    )
