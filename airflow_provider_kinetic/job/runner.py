"""One start of a job, from the command line to the exit code.

The order is the point: a number is taken before anything is opened, a job that has a result or has spent
its budget is not started again, the result is stored before the end is recorded, and the end is recorded
before the process ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_kinetic.job import execution, links, phases, protocol, workspace
from airflow_provider_kinetic.job.delivery import adopt, deliver
from airflow_provider_kinetic.job.logs import LAST_FLUSH, ChunkNames, LogShipper
from airflow_provider_kinetic.job.masking import Masking
from airflow_provider_kinetic.job.outcome import Outcome, describe
from airflow_provider_kinetic.job.phases import Progress
from airflow_provider_kinetic.job.redaction import named_values
from airflow_provider_kinetic.job.report import BUDGET_SPENT, FAILURE, PREEMPTED, Report
from airflow_provider_kinetic.job.request import Request
from airflow_provider_kinetic.job.stall import StallWatch, show_on_request
from airflow_provider_kinetic.job.stopping import StopRequest
from airflow_provider_kinetic.job.supervisor import Ending, Mirror, Signals, Stop, Supervisor
from airflow_provider_kinetic.job.training.attempts import Attempt, Records

REPORT = "report.json"
STOP = "stopping"
STAND_IN = "stand-in"
SPOOL = "metrics"
PULSE = "pulse"


@dataclass(frozen=True)
class Start:
    """What the supervisor holds of one start."""

    request: Request
    folder: Path
    progress: Progress
    signals: Signals
    stop: Stop
    records: Records | None = None
    attempt: Attempt = field(default_factory=Attempt)
    verdict: Report | None = None
    """Given when there is nothing to run."""


def main(argv: Sequence[str], scratch: str | None = None) -> int:
    """Run one start; the exit code. ``scratch`` is a fresh folder that is removed at the end."""
    signals = Signals()
    try:
        request = Request.parse(argv, os.environ)
    except ValueError as error:
        print(f"kinetic: {error}", file=sys.stderr)
        _discard(Path(scratch) if scratch else None)
        return protocol.EXIT_FAILED
    folder = Path(scratch or tempfile.mkdtemp(prefix="kinetic-run-"))
    start = _begin(request, folder, signals)
    if start.verdict is not None:
        return _conclude(start, start.verdict, _shipper(start))
    reader, writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        return _worker(start, writer, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.close(writer)
    return _supervise(start, pid, reader)


def _begin(request: Request, folder: Path, signals: Signals) -> Start:
    progress = Progress(folder / "phase")
    stop = Stop(request.stop_grace)
    records, attempt, verdict = None, Attempt(), None
    try:
        if request.records:
            records = Records(request.output_dir, request.job_id)
            attempt = records.begin(request.trial, request.host_index)
        verdict = _verdict(request, attempt, folder, progress)
    except Exception as error:
        message = f"The job could not begin: {describe(error)}\nIts output_dir is {request.output_dir or 'not set'}."
        verdict = _refuse(request, message, folder, progress)
    return Start(request, folder, progress, signals, stop, records, attempt, verdict)


def _verdict(request: Request, attempt: Attempt, folder: Path, progress: Progress) -> Report | None:
    """Reasons not to call the function; None to go on."""
    stored = adopt(request)
    if stored is not None:
        return stored
    spent = attempt.spent(request.max_preemptions)
    if spent:
        report = _refuse(request, spent, folder, progress)
        return Report(
            BUDGET_SPENT, phases.STARTUP, protocol.EXIT_BUDGET_SPENT, report.objects, report.reason, report.error
        )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if request.python and request.python != here:
        return _refuse(
            request,
            f"This job has Python {here} and was submitted by Python {request.python}; "
            "pickled functions cannot travel between the two. "
            f"Pass `container_image=` an interpreter or image with Python {request.python}, "
            f"or run the Airflow worker on Python {here}.",
            folder,
            progress,
        )
    return None


def _refuse(request: Request, message: str, folder: Path, progress: Progress) -> Report:
    print(f"kinetic: {message}", file=sys.stderr, flush=True)
    return deliver(Outcome.refused(phases.STARTUP, message), request, folder, progress, pickle.dump)


def _worker(start: Start, output: int, supervisor: int) -> int:
    """In the child: become the process that runs the user's code."""
    die_with(supervisor)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    os.environ[protocol.ENV_STOP_FILE] = str(start.folder / STOP)
    os.environ[protocol.ENV_SPOOL] = str(start.folder / SPOOL)
    os.environ[protocol.ENV_ATTEMPT] = str(start.attempt.number)
    start.signals.leave_to_child()
    if start.request.stall_timeout:
        os.environ[protocol.ENV_PULSE] = str(start.folder / PULSE)
        show_on_request()
    stop = StopRequest()
    stop.install(start.signals.previous[signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        report = execution.work(start.request, start.folder, start.progress, stop)
    except BaseException as error:
        report = execution.report_crash(error, start.progress.phase)
    report.save(start.folder / REPORT)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # user code may have closed or removed it
            stream.flush()
    if execution.lingering():
        os._exit(report.exit_code)
    return report.exit_code


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent is gone: nobody would watch it (Linux only)."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(protocol.EXIT_FAILED)


def _supervise(start: Start, pid: int, output: int) -> int:
    shipper = _shipper(start)
    mirror, masking = Mirror(), Masking(named_values(os.environ))

    def keep(data: bytes) -> None:
        mirror.write(data)
        if shipper is not None:
            shipper.feed(data)

    def pass_on(data: bytes) -> None:
        keep(masking.feed(data))

    stall = _stall_watch(start)

    def stopping() -> None:
        (start.folder / STOP).write_text(str(time.monotonic()))
        if shipper is not None:
            shipper.flush()
        stalled = stall is not None and stall.stalled
        if stall is not None and stalled:
            pass_on(f"kinetic: {stall.reason}: the function is ended\n".encode())
        threading.Thread(target=_notice, args=(start, stalled), daemon=True).start()

    ending = Supervisor(start.signals, start.stop, pass_on, stopping, stall).watch(pid, output)
    keep(masking.end())
    rest = threading.Thread(target=_send_rest, args=(start, 2), daemon=True)
    rest.start()
    rest.join(start.stop.left(LAST_FLUSH))
    report = Report.load(start.folder / REPORT) or _epitaph(ending, start.progress.last())
    if stall is not None and stall.stalled and report.outcome == PREEMPTED:
        report = Report.stalled(report.phase, stall.reason)
    return _conclude(start, report, shipper)


def _stall_watch(start: Start) -> StallWatch | None:
    """Of several hosts the first one: when it gets on, all do."""
    if start.request.stall_timeout <= 0 or start.request.host_index:
        return None
    return StallWatch(start.request.stall_timeout, start.progress.file, start.folder / PULSE)


def _notice(start: Start, stalled: bool = False) -> None:
    """Best effort, and never in the way: a stop must not wait for the store."""
    if start.records is not None and start.attempt.number:
        if not stalled:
            with contextlib.suppress(Exception):
                start.records.notice(start.attempt)
        _send_rest(start, 1)


def _send_rest(start: Start, number: int) -> None:
    """Metrics that the worker has logged and not stored. It may be anywhere, also in C."""
    folder = start.folder / SPOOL
    if start.records is None or not folder.exists():
        return
    from airflow_provider_kinetic.job.training.spool import send_rest  # most jobs log none

    with contextlib.suppress(Exception):
        send_rest(start.records.storage, start.records.layout, start.attempt.number, folder, number)


def _epitaph(ending: Ending, phase: str) -> Report:
    """Of a worker that ended without a word. Killed while stopping is what a stop is allowed to do."""
    if ending.signal == signal.SIGTERM or (
        ending.stopped and (ending.signal or ending.code == protocol.EXIT_PREEMPTED)
    ):
        return Report.preempted(phase)
    how = f"was killed by signal {ending.signal}" if ending.signal else f"ended itself with code {ending.code}"
    return Report(FAILURE, phase, ending.code, reason=f"The process {how} and left no result.")


def _shipper(start: Start) -> LogShipper | None:
    if start.records is None or not start.attempt.number:
        return None
    names = ChunkNames(start.records.layout, start.request.job_id, start.attempt.number)
    shipper = LogShipper(start.records.storage, names)
    shipper.start()
    return shipper


def _conclude(start: Start, report: Report, shipper: LogShipper | None) -> int:
    """Write down how it ended, for the trial, the reader of the log and the platform."""
    report = report.redacted(os.environ)
    if start.verdict is not None and shipper is not None:
        shipper.feed(f"kinetic: {report.reason}\n".encode("utf-8", "replace"))
    if start.records is not None and start.attempt.number:
        try:
            start.records.end(start.attempt, report)
        except Exception as error:
            print(f"kinetic: the end of this attempt could not be recorded: {error}", file=sys.stderr)
    if shipper is not None:
        shipper.close(start.stop.left(LAST_FLUSH))
    _last_words(start.request, report, start.attempt)
    workspace.remove_stand_in(start.folder / "workspace", start.folder / STAND_IN)
    links.release(start.folder / execution.LINKS)
    _discard(start.folder)
    return report.exit_code


def _last_words(request: Request, report: Report, attempt: Attempt) -> None:
    path = Path(request.termination_log or protocol.DEFAULT_TERMINATION_LOG)
    if not request.termination_log and not path.exists():
        return
    message = protocol.encode_termination(
        outcome=report.outcome,
        phase=report.phase,
        attempt=attempt.number,
        objects={name: dict(facts) for name, facts in report.objects.items()},
        reason=report.reason,
    )
    try:
        path.write_bytes(message)
    except OSError as error:
        print(f"kinetic: no termination message could be written to {path}: {error}", file=sys.stderr)


def _discard(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
