"""From the objects of a job to the user's function and its outcome (``contract`` 7.3).

This runs in the worker process, whose only life is this one call; everything that must also happen when
it dies is done by its supervisor.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job import phases, protocol, workspace
from airflow_provider_kinetic.job.delivery import BLOCK, deliver
from airflow_provider_kinetic.job.outcome import Outcome
from airflow_provider_kinetic.job.phases import Progress
from airflow_provider_kinetic.job.plain import handed_on
from airflow_provider_kinetic.job.report import Report
from airflow_provider_kinetic.job.request import Request
from airflow_provider_kinetic.job.stopping import StopRequest
from airflow_provider_kinetic.job.storage import open_storage
from airflow_provider_kinetic.model.errors import Preempted, Superseded

LINKS = "links"
"""File in the job's folder that names the volumes to remove when it ends."""


class Stopped(Exception):
    """The user's code ended because a stop was asked for: there is no outcome, another attempt continues."""


@dataclass(frozen=True)
class Call:
    """The user's function with its arguments."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def work(request: Request, folder: Path, progress: Progress, stop: StopRequest) -> Report:
    """Prepare, call, deliver. Never raises for what the user's code or objects do."""
    try:
        outcome = _outcome(request, folder, progress, stop)
    except Stopped as stopped:
        return Report.preempted(progress.phase, str(stopped))
    if outcome.traceback:
        print(outcome.traceback, file=sys.stderr, end="", flush=True)
    elif outcome.exception is not None:
        print(f"kinetic: {outcome.exception}", file=sys.stderr, flush=True)
    return deliver(outcome, request, folder, progress, _dump())


def lingering() -> bool:
    """Threads that would keep the interpreter from ending."""
    return any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate())


def _outcome(request: Request, folder: Path, progress: Progress, stop: StopRequest) -> Outcome:
    try:
        call = prepare(request, folder, progress)
    except BaseException as error:
        stop.disarm()
        if isinstance(error, SystemExit) and stop.requested():
            raise Stopped from None
        return Outcome.failed(progress.phase, error, _hint(progress.phase, error))
    progress.enter(phases.EXECUTE)
    return execute(call, stop)


def prepare(request: Request, folder: Path, progress: Progress) -> Call:
    """Everything before the user's function; ``progress`` says where it failed."""
    archive, payload = folder / protocol.CONTEXT, folder / protocol.PAYLOAD
    progress.enter(phases.DOWNLOAD)
    found = {"payload": _download(request.payload_uri, payload), "context": _download(request.context_uri, archive)}
    progress.enter(phases.VERIFICATION)
    _verify(request.payload_uri, found["payload"], request.payload_sha256)
    _verify(request.context_uri, found["context"], request.context_sha256)
    progress.enter(phases.REQUIREMENTS)
    _install(request, folder)
    progress.enter(phases.EXTRACT)
    root = folder / "workspace"
    workspace.extract(archive, root)
    import cloudpickle  # the bundled one: nothing of the user's is on the path yet

    workspace.enter(root, _bundle(folder))
    progress.enter(phases.UNPICKLE)
    with payload.open("rb") as stream:
        content = cloudpickle.load(stream)
    payload.unlink()
    call = Call(content["func"], content["args"], content["kwargs"])
    progress.enter(phases.ENVIRONMENT)
    workspace.stand_in(root, content.get("working_dir"), folder / "stand-in")
    os.environ.update(content.get("env_vars") or {})
    progress.enter(phases.DATA)
    return _with_data(call, content, request, folder)


def _with_data(call: Call, content: Mapping[str, Any], request: Request, folder: Path) -> Call:
    """Volumes are there and references are paths. Only payloads of older clients must be searched to know."""
    if not content.get("volumes") and not content.get("has_data_refs", True):
        return call
    from airflow_provider_kinetic.job.data import DataFolder  # most jobs have none
    from airflow_provider_kinetic.job.links import Links

    links = Links(folder / LINKS) if request.on_this_machine else None
    data = DataFolder(folder / "data", folder / "workspace", links)
    data.mount(content.get("volumes") or ())
    if not content.get("has_data_refs", True):
        return call
    return Call(call.function, *data.arguments(tuple(call.args), dict(call.kwargs)))


def execute(call: Call, stop: StopRequest) -> Outcome:
    """Call the function.

    :raises Stopped: it left by ``sys.exit`` or an interrupt after a stop was asked for. A value that it returns, or
        an exception that it raises meanwhile, counts as always.
    """
    try:
        value = call.function(*call.args, **call.kwargs)
        if isinstance(value, types.CoroutineType):
            import asyncio  # 40 ms that only coroutines pay for

            value = asyncio.run(value)
        _close_trials()
        stop.disarm()
        return Outcome(True, result=handed_on(value))
    except (SystemExit, KeyboardInterrupt) as leaving:
        stop.disarm()
        _close_trials(leaving)
        if stop.requested() or isinstance(leaving, Preempted):
            raise Stopped(leaving.summary if isinstance(leaving, Superseded) else "") from leaving
        return Outcome.exited(leaving) if isinstance(leaving, SystemExit) else Outcome.raised(leaving)
    except BaseException as error:
        stop.disarm()
        _close_trials(error)
        return Outcome.raised(error)


def _close_trials(error: BaseException | None = None) -> None:
    """Finish what the function saves in the background. Its own ``error`` outranks one from there."""
    trials = sys.modules.get(f"{__package__}.training.trials")
    if trials is None:
        return
    try:
        trials.close_all(error)
    except BaseException:
        if error is None:
            raise
        traceback.print_exc()


def _download(uri: str, path: Path) -> str:
    """Copy an object here; its SHA-256 in hex."""
    digest = hashlib.sha256()
    with open_storage(uri).open(uri) as source, path.open("wb") as target:
        while True:
            block = source.read(BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)
            target.write(block)


def _verify(uri: str, found: str, expected: str) -> None:
    if expected and found != expected:
        raise ValueError(f"{uri} is not the object that was submitted: its SHA-256 is {found}, expected {expected}")


def _install(request: Request, folder: Path) -> None:
    """What upstream's prebuilt images do at start."""
    if not request.requirements_uri:
        return
    from airflow_provider_kinetic.job.installing import install  # most jobs have none

    path = folder / protocol.REQUIREMENTS
    _verify(request.requirements_uri, _download(request.requirements_uri, path), request.requirements_sha256)
    install(path)


def _bundle(folder: Path) -> str:
    """Our own entry on ``sys.path``; empty when the runner does not come from a bundle."""
    bundle = str(folder / protocol.RUNNER)
    return bundle if bundle in sys.path else ""


def _dump() -> Callable[[Any, Any], None]:
    try:
        from cloudpickle import dump
    except ImportError:
        from pickle import dump
    return dump  # type: ignore[no-any-return]


def _hint(phase: str, error: BaseException) -> str:
    if phase != phases.UNPICKLE:
        return ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"The job has no module {error.name!r}: add its package to the requirements, or import it in the function."
        )
    import cloudpickle

    versions = f"Python {sys.version.split()[0]} and cloudpickle {cloudpickle.__version__}"
    return f"The job runs {versions}; compare with the submitter's."


def report_crash(error: BaseException, phase: str) -> Report:
    """A mistake of the runner itself, so that it is not silent."""
    traceback.print_exception(type(error), error, error.__traceback__)
    text = f"{type(error).__name__}: {error}"
    return Report("failure", phase, protocol.EXIT_FAILED, reason=f"the runner failed: {text}")
