"""The one object that a training script needs to lose minutes instead of days (``checkpointing`` 3.4).

``trial()`` answers with the trial of this process: in a job the one that the job belongs to, elsewhere the one in a
folder. The code of the loop is the same in both places.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from types import TracebackType
from typing import Any

from airflow_provider_kinetic.job import phases, protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.report import FAILURE, SUCCESS, Report
from airflow_provider_kinetic.job.stall import Pulse
from airflow_provider_kinetic.job.training.attempts import Attempt, Records
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint, Commits, numbered
from airflow_provider_kinetic.job.training.ending import UNKNOWN, Ending
from airflow_provider_kinetic.job.training.facts import Facts, facts_of
from airflow_provider_kinetic.job.training.heartbeat import Heartbeat
from airflow_provider_kinetic.job.training.hosts import ALONE, Group, Host, find_host
from airflow_provider_kinetic.job.training.hosts_meeting import Meeting
from airflow_provider_kinetic.job.training.hosts_restoring import GroupRestorer
from airflow_provider_kinetic.job.training.hosts_stop import Agreement
from airflow_provider_kinetic.job.training.leaving import LEAVES
from airflow_provider_kinetic.job.training.metrics import Metrics, over
from airflow_provider_kinetic.job.training.named import Named
from airflow_provider_kinetic.job.training.notice import Notice
from airflow_provider_kinetic.job.training.orbax import WithOrbax
from airflow_provider_kinetic.job.training.renewal import Renewal
from airflow_provider_kinetic.job.training.restoring import Restorer, Select
from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.saving import Draft, Fence, NotSaved, Saver
from airflow_provider_kinetic.job.training.sharding import ShardedSaver, sweep
from airflow_provider_kinetic.job.training.shelf import Shelf
from airflow_provider_kinetic.job.vaults import Vault, as_uri, open_vault
from airflow_provider_kinetic.model.errors import Preempted, Superseded, UnsupportedParameter

FOLDER = "kinetic-output"
"""In the current folder: the trial of a script."""


class Start:
    """This attempt's place in the trial: taken by the runner in a job, else taken and ended here."""

    def __init__(self, output_dir: str, vault: Vault, host: Host) -> None:
        self.records: Records | None = None
        self.spool: Path | None = None
        """Folder that the supervisor looks into."""
        self.group: Group | None = None
        """Of several processes."""
        self.saved = 0
        """So many checkpoints has a former trial of this attempt numbered."""
        self.attempt = Attempt()
        meeting = Meeting(vault, TrialLayout(output_dir), host, os.environ.get(protocol.ENV_JOB_ID, ""))
        if host.leads:
            self._begin(output_dir, vault)
            if host.processes > 1:
                with self._ended_by_trouble():
                    self.group = meeting.lead(self.attempt.number)
        else:
            self.group = meeting.join()
            self.attempt = Attempt(self.group.attempt)
        if self.group is not None:
            self.saved = self.group.saved

    def _begin(self, output_dir: str, vault: Vault) -> None:
        number = os.environ.get(protocol.ENV_ATTEMPT, "")
        if number and output_dir == as_uri(os.environ.get(protocol.ENV_OUTPUT_DIR, "")):
            self.attempt = Attempt(int(number))
            self.spool = Path(spool) if (spool := os.environ.get(protocol.ENV_SPOOL)) else None
            self.saved = numbered(vault, TrialLayout(output_dir), self.attempt.number)
        else:
            self.records = Records(output_dir, os.environ.get(protocol.ENV_JOB_ID, ""), vault)
            self.attempt = self.records.begin(facts_of(output_dir))
        if not self.attempt.number:
            raise UnsupportedParameter(
                "This host keeps no records, so it cannot begin a trial.",
                advice="Of several hosts the first one is process 0, which all others join.",
            )

    @contextlib.contextmanager
    def _ended_by_trouble(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.end(_report(error))
            raise

    def end(self, report: Report | None) -> None:
        """Without a report nobody knows. A record that cannot be written is a warning: the training is worth more, or
        has ended by another error."""
        if self.records is not None and report is not None:
            try:
                self.records.end(self.attempt, report)
            except Exception as error:
                warnings.warn(f"The end of this attempt could not be recorded: {error}", stacklevel=4)


class Trial(WithOrbax, Facts, AbstractContextManager["Trial"]):
    """One attempt of a trial, from :func:`trial`. Close it, or use ``with``; in a job the runner does.

    Of several processes each has one: all save the same steps in the same order, each its own files. Only process 0
    clears up, gives signs of life and has the metrics; rows of others are kept beside them, ``metrics/a0001-p3/``.
    """

    def __init__(self, output_dir: str, keep: Keep, vault: Vault | None = None, host: Host = ALONE) -> None:
        self.dir = output_dir
        """URI of the output directory."""
        self.process, self.processes = host
        self._pid = os.getpid()
        self._vault = vault or open_vault(output_dir)
        self._start = Start(output_dir, self._vault, host)
        self.attempt = self._start.attempt.number
        """Counts the starts of the trial from 1."""
        layout, group = TrialLayout(output_dir), self._start.group
        fence = Fence(self._vault, layout, self.attempt)
        newest = fence.holds if host.leads else _never
        starts = self._start.records.starts if self._start.records else {}
        starts.setdefault(self.attempt, {})  # a listing may not show it yet
        commits = self._start.records.commits if self._start.records else Commits(self._vault, layout)
        self._shelf = Shelf(self._vault, layout, fence, keep, starts, commits)
        self._metrics = Metrics(self._vault, layout, self.attempt, newest, starts, self._start.spool, self.process)
        self._heartbeat = Heartbeat(self._vault, layout, self.attempt, newest)
        self._renewal = Renewal(self._vault, layout, starts)
        saving = self._vault, layout, fence, self.attempt, self._metrics.flush, self._committed, self._start.saved
        saver = ShardedSaver(group, *saving) if group else Saver(*saving)
        super().__init__(Notice(os.environ), fence, saver)
        self._notice.listen()
        self._pulse = Pulse.of(os.environ, lambda: (self._heartbeat.said(), self.asked_at), lambda: saver.busy)
        self._restorer = Restorer(output_dir, self._vault)
        self._until_closed = contextlib.ExitStack()
        if group:
            self._restorer = self._until_closed.enter_context(closing(GroupRestorer(output_dir, self._vault, group)))
            agreement = Agreement(self._vault, layout, group, self._notice.heard, fence)
            self._agreement = self._until_closed.enter_context(closing(agreement))
        if host.leads:
            self._heartbeat.start()
            self._renewal.start()
            if self._start.records is None:
                self._saver.later(self._shelf.look_ahead)
            self._saver.later(lambda: self._shelf.sweep(self.attempt))
            self._saver.later(lambda: sweep(self._vault, layout, self.attempt))
        self._continues = False
        self.closed = False

    def restore(
        self, checkpoint: Named | None = None, *, select: Select | None = None, strict: bool = False
    ) -> AbstractContextManager[Checkpoint | None]:
        """The last good checkpoint with its files in ``path``, a folder that is removed afterwards; at the first start
        the one of the task's ``restore_from``, else None. Every byte is verified; a damaged one is passed over with a
        warning for the one before it.

        :param checkpoint: this one and no other: also of another trial, a ``KineticCheckpoint``, or a URI.
        :param select: takes a file's path and says whether to fetch it.
        :param strict: a damaged one is an error.
        :raises CheckpointCorrupt: there is none that is whole.
        :raises ConfigurationError: what was named is none of ``save``.
        """
        named = self._begins_with() if checkpoint is None else checkpoint
        if named is None:
            expected = self._shelf.expected
            return self._restorer.restored(self._shelf.saved(), strict=strict, select=select, expected=expected)
        restorer, found = self._named(named)
        return restorer.restored([found], strict=True, select=select)

    @contextlib.contextmanager
    def save(self, step: int, *, wait: bool = True, **metadata: Any) -> Iterator[Path]:
        """A folder to fill; a checkpoint once the body has ended, and nothing when it raises.

        :param step: so many steps are completed.
        :param wait: False: send in the background; an error there is raised by ``wait``, ``close``, or the next
            ``save`` once that is complete. One is on its way at a time.
        :param metadata: numbers, texts, lists and mappings; ``best`` and retention look at numbers.
        After a stop was asked for, what would not be complete in time is not sent, and what the store does not take is
        given up, with a warning.

        :raises ValueError: the trial is closed, or that of the process that this one was forked from.
        :raises NotSaved: an OSError: the store was away for minutes, or refused. It names the folder that still has
            the files, until another checkpoint is complete.
        :raises Superseded: a newer attempt has begun.
        """
        with self.draft(step, metadata, wait) as draft:
            self.look(draft.name.step)
            yield draft.folder

    @contextlib.contextmanager
    def draft(self, step: int, metadata: Mapping[str, Any], wait: bool = True) -> Iterator[Draft]:
        """As :meth:`save`, for those who must know the checkpoint's name before, or whose metadata has any keys."""
        if self.closed or os.getpid() != self._pid:
            raise ValueError(over(self._pid))
        if not self._continues:
            self._continues = True
            self._saver.sender.continue_from(lambda: next(self._shelf.saved(), None))
        try:
            with self._saver.save(step, wait, metadata, self._time) as draft:
                yield draft
        except NotSaved as error:
            if not self.told:
                raise
            warnings.warn(f"{error} {LEAVES}", stacklevel=5)
        self._heartbeat.step = step

    def _time(self) -> float:
        """For a checkpoint. Of several processes none may leave one out: the others count on it."""
        return self.time_left if self.processes == 1 else math.inf

    def log(self, metrics: Mapping[str, Any], *, step: int, group: str = "train") -> None:
        """Remember a row; it is in the store within seconds, and before the next checkpoint is complete.

        Rows of one group and step are one row. Costs some microseconds and never waits for the network.

        :param metrics: numbers, bools and short texts by name; scalars of arrays too.
        :raises TypeError: another value, or a step that is not a whole number.
        :raises ValueError: ``group`` has a slash, or the trial is closed, or that of the process that this one was
            forked from.
        """
        self._metrics.log(metrics, step, group)
        self._heartbeat.step = step

    def progress(self, fraction: float) -> None:
        """How far it is, from 0 to 1; others see it within half a minute.

        :raises ValueError: it is outside of that.
        """
        self._heartbeat.progress(fraction)

    def status(self, text: str) -> None:
        """What it does at present, such as ``"warming up"``; others see it within half a minute."""
        self._heartbeat.status(text)

    def wait(self) -> None:
        """Until the checkpoint that is on its way is complete; raises what went wrong with it."""
        self._saver.wait()

    @property
    def latest(self) -> Checkpoint | None:
        """The last one; Orbax's where that has more steps."""
        return self._shelf.latest()

    def best(self, metric: str, mode: str = "min") -> Checkpoint | None:
        """By a number in the metadata, of Orbax's also in the metrics; the one with more steps of equals."""
        return self._shelf.best(metric, mode)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All that can be restored, by step; Orbax's too."""
        return self._shelf.all()

    def close(self, error: BaseException | None = None) -> None:
        """Finish what is on its way; outside of a job, write down how the attempt ended. Once."""
        if self.closed or os.getpid() != self._pid:
            return
        self.closed = True
        if error in (None, UNKNOWN) and (self._left or self._fence.fallen):
            error = Preempted()
        try:
            self._notice.ignore()
            try:
                self._saver.close()
            finally:
                self._metrics.close()
                self._heartbeat.close()
                self._renewal.close()
                self._until_closed.close()
                if self._pulse is not None:
                    self._pulse.close()
        except BaseException as failure:
            error = error or failure
            raise
        finally:
            self._start.end(_report(error))

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.close(error)

    def _committed(self, name: Any, checkpoint: Checkpoint) -> None:
        self._shelf.add(name, checkpoint)
        self._saver.later(self._shelf.tidy)


DEAF = (
    "A stop will not be heard, so none saves a last checkpoint: only the main thread may listen, call job.trial() there"
)

_open: dict[str, Trial] = {}
_endings: list[Ending] = []
"""Of this process, once it has a trial."""
_lock = threading.Lock()


def _never() -> bool:
    return False


def trial(
    dir: str | os.PathLike[str] | None = None,
    *,
    keep: Keep | None = None,
    process: int | None = None,
    processes: int | None = None,
) -> Trial:
    """The trial of this process; the same object each time until it is closed.

    Of several processes every one calls this, and it returns when all have. Where they say nothing, they are counted
    as JAX does once ``jax.distributed`` is initialised, else as the environment says (``RANK`` and ``WORLD_SIZE``,
    ``TPU_WORKER_ID``, ``LWS_WORKER_INDEX``, ``JOB_COMPLETION_INDEX``).

    :param dir: a folder or a ``gs://`` URI; else ``KINETIC_OUTPUT_DIR``, which a job has; else ``./kinetic-output``.
    :param keep: which checkpoints to keep; the two last ones if not given. Only the first call decides.
    :param process: this one, from 0 on.
    :param processes: so many there are; 1 where only one of them has a trial.
    :raises UnsupportedParameter: ``process`` is not among ``processes``, or nobody knows how many there are.
    :raises TimeoutError: others did not come within ``KINETIC_HOSTS_TIMEOUT`` seconds (600).
    """
    output_dir = as_uri(dir or os.environ.get(protocol.ENV_OUTPUT_DIR) or FOLDER)
    with _lock:
        if not _endings:
            _endings.append(Ending())
        found = _open.get(output_dir)
        if found is None or found.closed:
            former, found = found, Trial(output_dir, keep or Keep(), host=find_host(process, processes))
            if former is not None and former.attempt == found.attempt:
                found.acknowledged = former.acknowledged  # the job has not finished, whoever looks once more
            _open[output_dir] = found
            if not found.hears_stops:
                warnings.warn(DEAF, stacklevel=2)
        return found


def close_all(error: BaseException | None = None) -> None:
    """Every trial of this process; raises the first trouble after all are closed.

    :raises Preempted: one has acknowledged that it ends without having finished.
    """
    with contextlib.ExitStack() as stack:
        for each in _open.values():
            stack.callback(each.close, error)
    if error is None and any(each.acknowledged for each in _open.values()):
        raise Preempted(advice="Another attempt continues from the last checkpoint.")


def _report(error: BaseException | None) -> Report | None:
    if error is UNKNOWN:
        return None
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Report(SUCCESS, phases.EXECUTE, protocol.EXIT_OK)
    if isinstance(error, Superseded):
        return Report.preempted(phases.EXECUTE, str(error))
    if isinstance(error, (Preempted, KeyboardInterrupt)):
        return Report.preempted(phases.EXECUTE)
    text = {"type": type(error).__name__, "text": str(error)}
    return Report(FAILURE, phases.EXECUTE, protocol.EXIT_FAILED, reason=f"{text['type']}: {text['text']}", error=text)


@atexit.register
def _at_exit() -> None:
    """Of scripts that do not close."""
    with contextlib.suppress(Preempted):
        close_all(*(ending.error() for ending in _endings))
