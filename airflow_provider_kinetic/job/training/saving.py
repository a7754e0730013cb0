"""Making checkpoints (``checkpointing`` 3.5).

The user's code fills a folder of its own on this machine. The files go to the store, then the manifest that lists
them, then, if this attempt is still the newest, the commit record, which is created once and never changed. Until
that record is there nobody sees anything; from then on every byte has been stored.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.redaction import masked
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.attempts import now
from airflow_provider_kinetic.job.training.checkpoints import SHORT, Checkpoint, in_parallel, read_record, record_of
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.training.sending import Sender
from airflow_provider_kinetic.job.vaults import Vault
from airflow_provider_kinetic.model.errors import Superseded

METADATA = "metadata.json"
ENV_TMP = "KINETIC_TMP"
MOST_METADATA = 3 << 10


class Fence:
    """Whether this attempt may still change anything. Attempts are numbered without gaps."""

    def __init__(self, vault: Vault, layout: TrialLayout, attempt: int) -> None:
        self._vault = vault
        self._number = attempt
        self._next = layout.attempt(attempt + 1)
        self._text = f"Attempt {attempt} of {layout.output_dir}"
        self.fallen = False

    def holds(self) -> bool:
        """One request, until the answer is no."""
        self.fallen = self.fallen or bool(self._vault.list(self._next))
        return not self.fallen

    def check(self) -> None:
        """:raises Superseded: a newer attempt has begun."""
        if not self.holds():
            raise Superseded(
                f"{self._text} is not the newest any more, so nothing of it is saved: {self._successor()} has begun.",
                advice="Let this process end. Tasks that work at the same time need a `trial` each.",
            )

    def _successor(self) -> str:
        record: Mapping[str, Any] = {}
        with contextlib.suppress(OSError):
            record = read_record(self._vault, self._next) or {}
        said = (("job", "job_id"), ("dag", "dag_id"), ("task", "task_id"), ("run", "run_id"))
        who = ", ".join(f"{what} {record[name]}" for what, name in said if record.get(name))
        return f"attempt {self._number + 1} ({who})" if who else f"attempt {self._number + 1}"


class NotSaved(OSError):
    """The store was away for longer than anybody waits, or refused. The files are still on this machine."""


@dataclass(frozen=True)
class Draft:
    """A folder that the user has filled."""

    name: Name
    folder: Path
    metadata: Mapping[str, Any]


class Saver:
    """Saves for one attempt. One upload at a time.

    :param before: is called before each commit, ``committed`` after it.
    :param saved: so many checkpoints has a former life of this attempt numbered.
    """

    def __init__(
        self,
        vault: Vault,
        layout: TrialLayout,
        fence: Fence,
        attempt: int,
        before: Callable[[], None],
        committed: Callable[[Name, Checkpoint], None],
        saved: int = 0,
    ) -> None:
        self._vault = vault
        self._layout = layout
        self._fence = fence
        self._attempt = attempt
        self._before = before
        self._committed = committed
        self._sequence = itertools.count(saved + 1)
        self.sender = Sender(vault)
        self._pending: deque[Future[None]] = deque()
        self._pid = os.getpid()
        self._background = ThreadPoolExecutor(1, "kinetic-save")
        self._lock = threading.Lock()
        self._kept: tuple[Path, ...] = ()
        """Folders of the last ones that could not be stored."""
        self._took: deque[float] = deque(maxlen=3)
        """Seconds, of the last ones that were."""

    @contextlib.contextmanager
    def save(
        self, step: int, wait: bool, metadata: Mapping[str, Any], left: Callable[[], float] = lambda: math.inf
    ) -> Iterator[Draft]:
        """With a folder to fill; what is in it at the end is saved. Nothing is when the body raises.

        What went wrong in the background before is raised once this one is stored.

        :param left: seconds until this process is ended. What would not be complete by then is not begun.
        """
        name = Name(_step(step), self._attempt, next(self._sequence))
        folder = Path(tempfile.mkdtemp(prefix="kinetic-save-", dir=os.environ.get(ENV_TMP) or None))
        try:
            draft = Draft(name, folder, checked(metadata))
            yield draft
            self._describe(draft)
            earlier = self._trouble()
            if isinstance(earlier, Superseded):
                raise earlier
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._given_up(name, error)
            raise
        if not self._fits(step, left()):
            shutil.rmtree(folder, ignore_errors=True)
        elif wait or earlier or not self._begin(draft):
            self._finish(draft, earlier)
        if earlier:
            raise earlier

    def wait(self) -> None:
        """Until nothing is on its way; raises what went wrong there."""
        if trouble := self._trouble():
            raise trouble

    def _trouble(self) -> BaseException | None:
        """What went wrong with what was on its way, once that has ended."""
        trouble = None
        while trouble is None and os.getpid() == self._pid:  # a process that was forked off has no thread that saves
            try:
                pending = self._pending.popleft()
            except IndexError:
                break
            trouble = pending.exception()
        return trouble

    @property
    def busy(self) -> bool:
        """Something is on its way."""
        return self._lock.locked()

    def later(self, work: Callable[[], None]) -> None:
        """After what is on its way, in the background. It must not raise."""
        with contextlib.suppress(RuntimeError):  # closed
            self._background.submit(work)

    def close(self) -> None:
        """:meth:`wait`, and no more after that."""
        self._background.shutdown(wait=True)
        self.wait()

    def _begin(self, draft: Draft) -> bool:
        """In the background. False while the interpreter ends: then no thread does anything new."""
        try:
            self._pending.append(self._background.submit(self._finish, draft))
        except RuntimeError:
            return False
        return True

    def _finish(self, draft: Draft, earlier: BaseException | None = None) -> None:
        """
        :param earlier: what went wrong with the one before, and nobody has heard of yet.
        """
        begun = time.monotonic()
        try:
            with self._lock:
                self._save(draft)
        except BaseException as error:
            self._given_up(draft.name, error)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                self._keep(draft.folder, *(self._kept if earlier else ()))
                raise NotSaved(
                    f"The checkpoint of step {draft.name.step} is not saved: {error}. "
                    f"Its files stay in {draft.folder} until another one is.{f' {earlier}' if earlier else ''}"
                ) from error
            shutil.rmtree(draft.folder, ignore_errors=True)
            if earlier:
                raise error from earlier
            raise
        self._took.append(time.monotonic() - begun)
        shutil.rmtree(draft.folder, ignore_errors=True)
        self._keep()

    def _keep(self, *folders: Path) -> None:
        former, self._kept = self._kept, folders
        for folder in set(former) - set(folders):
            shutil.rmtree(folder, ignore_errors=True)

    def _fits(self, step: int, left: float) -> bool:
        """Whether there is time for another one. One hiccup of the store does not count."""
        needed = min(self._took, default=0.0)
        if needed > left:
            warnings.warn(
                f"Step {step} is not saved: {left:.1f} s are left, and a checkpoint takes {needed:.1f} s. "
                "Training goes on from the one before.",
                stacklevel=6,
            )
        return needed <= left

    def _save(self, draft: Draft) -> None:
        self._complete(draft, self.sender.send(draft.folder, self._layout.data(str(draft.name))))

    def _given_up(self, name: Name, error: BaseException) -> None:
        """Nothing becomes of it."""

    def _describe(self, draft: Draft) -> None:
        refuse_ours(draft)
        describe(draft)

    def _complete(self, draft: Draft, files: Sequence[File]) -> None:
        """Files in the store become a checkpoint."""
        folder = self._layout.data(str(draft.name))
        content = manifests.encode(files)
        checkpoint = Checkpoint(
            step=draft.name.step,
            uri=folder,
            attempt=self._attempt,
            metadata=draft.metadata,
            bytes=sum(file.size for file in files),
            files=len(files),
            created=now(),
            manifest_sha256=sha256(content).hexdigest(),
            manifest=content.decode() if len(content) <= SHORT else "",
        )

        def manifest() -> None:
            self._vault.write(f"{folder}/{manifests.NAME}", content)

        in_parallel(lambda step: step(), [manifest, self._before, self._fence.check])
        self._record(draft.name, checkpoint)
        self._committed(draft.name, checkpoint)

    def _record(self, name: Name, checkpoint: Checkpoint) -> None:
        uri, record = self._layout.commit(str(name)), record_of(checkpoint, name, os.urandom(16).hex())
        content = json.dumps(record).encode()
        try:
            self._vault.write(uri, content, if_absent=True)
        except ObjectExists:
            if self._vault.read(uri) == content:  # the nonce in it makes it ours: only the answer was lost
                return
            raise RuntimeError(
                f"Another process of attempt {self._attempt} saves into {self._layout.output_dir}: "
                "only one process of a job may save"
            ) from None


def _step(step: int) -> int:
    try:
        whole = int(step)
    except (TypeError, ValueError, OverflowError):  # None, NaN, infinity
        whole = -1
    if whole < 0 or whole != step:
        raise ValueError(f"a step is a whole number from 0 on, not {step!r}")
    return whole


def checked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it, and without secrets: records are read by many.

    :raises ValueError: it is too long for a record.
    """
    known: dict[str, Any] = masked(as_json(metadata), os.environ)
    if len(json.dumps(known)) > MOST_METADATA:
        raise ValueError(f"metadata of a checkpoint has at most {MOST_METADATA} bytes as JSON: put more into a file")
    return known


def refuse_ours(draft: Draft) -> None:
    """:raises ValueError: a file has the name of the manifest."""
    if (draft.folder / manifests.NAME).exists():
        raise ValueError(f"{manifests.NAME} is ours: save your file under another name")


def describe(draft: Draft) -> None:
    """People who copy the folder keep its facts."""
    path = draft.folder / METADATA
    if not path.exists():
        path.write_bytes(description(draft.name.step, draft.metadata))


def description(step: int, metadata: Mapping[str, Any]) -> bytes:
    """What is in :data:`METADATA`, unless the user has a file of that name."""
    return json.dumps({"steps_completed": step, **metadata}, indent=2).encode()
