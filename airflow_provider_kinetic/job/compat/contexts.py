"""The parts of Determined's core context, as a script uses them, over one trial of ours."""

from __future__ import annotations

import contextlib
import enum
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_kinetic.job.compat.advice import Partial, absent, warn_once
from airflow_provider_kinetic.job.compat.ledger import Ledger
from airflow_provider_kinetic.job.training.checkpoints import Checkpoint
from airflow_provider_kinetic.job.training.named import checkpoint_of
from airflow_provider_kinetic.job.training.numbers import as_json
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import open_vault

GROUPS = {"training": "train"}
"""Determined's name of a group, and ours where it is another."""
STEPS = "steps_completed"


class DownloadMode(enum.Enum):
    """One download for all processes of a machine, whichever is said."""

    LocalWorkersShareDownload = "LOCAL_WORKERS_SHARE_DOWNLOAD"
    NoSharedDownload = "NO_SHARED_DOWNLOAD"


class PreemptMode(enum.Enum):
    """With ``WorkersAskChief`` several processes ask equally often, and all get the same answer; else each its own."""

    WorkersAskChief = "WORKERS_ASK_CHIEF"
    ChiefOnly = "CHIEF_ONLY"
    WorkersAskMaster = "WORKERS_ASK_MASTER"


class TensorboardMode(enum.Enum):
    AUTO = "AUTO"
    MANUAL = "MANUAL"


class EarlyExitReason(enum.Enum):
    INVALID_HP = "EXITED_REASON_INVALID_HP"
    USER_REQUESTED_STOP = "EXITED_REASON_USER_REQUESTED_STOP"


class TrainContext(Partial):
    """Metrics, progress, and what is said of the run."""

    _called = "train"
    _instead: ClassVar = {
        "get_experiment_best_validation": "job.trial().best(metric) is the best one of the trial.",
        "is_best_validation_of_experiment": "job.trial().best(metric) is the best one of the trial.",
        "get_tensorboard_path": "Metrics are exported with job.export_tensorboard(folder), at any time.",
        "upload_tensorboard_files": "Write event files below KINETIC_OUTPUT_DIR with your own writer.",
    }

    def __init__(self, trial: Trial, ledger: Ledger) -> None:
        self._trial = trial
        self._ledger = ledger
        self._last = 0
        """The highest step of training and validation that was reported here."""

    def report_training_metrics(
        self, steps_completed: int, metrics: Mapping[str, Any], batch_metrics: list[dict[str, Any]] | None = None
    ) -> None:
        if batch_metrics is not None:
            warn_once("core_v2: `batch_metrics` are not kept: report each batch with its own step")
        self.report_metrics("training", steps_completed, metrics)

    def report_validation_metrics(self, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            if value is None:
                raise RuntimeError(f"core_v2: the validation metric {name!r} is None")
        self.report_metrics("validation", steps_completed, metrics)

    def report_metrics(self, group: str, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        """Numbers, bools and short texts; those in mappings get names with dots.

        :raises ValueError: a group with a dot.
        """
        if "." in group:
            raise ValueError(f"core_v2: the group {group!r} has a dot")
        if self._trial.process:
            warn_once(
                f"core_v2: metrics of rank {self._trial.process} are kept beside those of rank 0 and not among them: "
                "let rank 0 report"
            )
        values = dict(_flat(metrics))
        if values:
            self._trial.log(values, step=steps_completed, group=GROUPS.get(group, group.replace("/", ".")))
            if group in ("training", "validation"):
                self._last = max(self._last, steps_completed)

    def report_progress(self, progress: float, is_raw: bool = False) -> None:
        """From 0 to 1."""
        if is_raw:
            warn_once("core_v2: raw progress needs a searcher, which is not here: report a number from 0 to 1")
        else:
            self._trial.progress(progress)

    def set_status(self, status: str) -> None:
        self._trial.status(status)

    def set_metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Written down beside the trial, in place of what was there."""
        return self._ledger.set_metadata(metadata)

    def get_metadata(self) -> dict[str, Any]:
        return self._ledger.metadata

    def report_early_exit(self, reason: EarlyExitReason) -> None:
        self._trial.status(f"early exit: {EarlyExitReason(reason).name}")
        warn_once("core_v2: report_early_exit() is shown as the status; to end the job as failed, raise an exception")


class CheckpointContext(Partial):
    """Checkpoints by their names. A name is the id that Determined calls uuid; a whole URI does as well."""

    _called = "checkpoint"

    def __init__(self, trial: Trial, train: TrainContext) -> None:
        self._trial = trial
        self._train = train

    @contextlib.contextmanager
    def store_path(
        self, metadata: Mapping[str, Any] | None = None, *, shard: bool = False
    ) -> Iterator[tuple[Path, str]]:
        """A folder to fill, and the checkpoint's name; nothing is stored when the body raises.

        :param metadata: has ``steps_completed``.
        :raises ValueError: it has not; that is found out before anything is stored.
        :raises TypeError: it is not a whole number.
        """
        known = dict(metadata or {})
        if STEPS not in known:
            raise ValueError(f"core_v2: the metadata of a checkpoint needs {STEPS!r}: {known!r}")
        if self._trial.processes > 1 and not shard:
            raise absent(
                "store_path() of one process among several",
                "Let every process call store_path(..., shard=True); it may leave the folder empty.",
            )
        with self._trial.draft(self._step(known[STEPS]), known) as draft:
            yield draft.folder, str(draft.name)

    def upload(
        self,
        ckpt_dir: str | os.PathLike[str] | None,
        metadata: Mapping[str, Any] | None = None,
        *,
        shard: bool = False,
        selector: Callable[[str], bool] | None = None,
    ) -> str:
        """Store a copy of a folder; its name. ``selector`` says of each file, by its path in there, whether it goes."""
        if ckpt_dir is None and not shard:
            raise RuntimeError("core_v2: upload(None) stores nothing at all")
        with self.store_path(metadata, shard=shard) as (path, storage_id):
            for file in _files(ckpt_dir):
                name = file.relative_to(str(ckpt_dir)).as_posix()
                if selector is None or selector(name):
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, path / name)
        return storage_id

    @contextlib.contextmanager
    def restore_path(
        self,
        storage_id: str,
        download_mode: DownloadMode = DownloadMode.LocalWorkersShareDownload,
        *,
        selector: Callable[[str], bool] | None = None,
    ) -> Iterator[Path]:
        """A folder with the verified files, removed afterwards.

        :raises CheckpointCorrupt: a file is gone or changed.
        :raises FileNotFoundError: there is no such checkpoint any more.
        """
        DownloadMode(download_mode)
        with self._trial.restore(self._find(storage_id), select=selector, strict=True) as found:
            assert found is not None
            assert found.path is not None
            yield found.path

    def download(
        self,
        storage_id: str,
        ckpt_dir: str | os.PathLike[str],
        download_mode: DownloadMode = DownloadMode.LocalWorkersShareDownload,
        *,
        selector: Callable[[str], bool] | None = None,
    ) -> None:
        """The verified files into ``ckpt_dir``, which is made. Raises as :meth:`restore_path`."""
        with self.restore_path(storage_id, download_mode, selector=selector) as path:
            shutil.copytree(path, ckpt_dir, dirs_exist_ok=True)

    def get_metadata(self, storage_id: str) -> dict[str, Any]:
        """What was given when it was stored."""
        return dict(self._find(storage_id).metadata)

    def delete(self, storage_id: str) -> None:
        self._find(storage_id).delete()

    def _step(self, steps_completed: int) -> int:
        """Not before what was reported: scripts save with the step at which an epoch began, say, and as in Determined
        their rows count until others take their place."""
        try:
            step = operator.index(steps_completed)
        except TypeError:
            raise TypeError(f"core_v2: {STEPS!r} is a whole number, not {steps_completed!r}") from None
        return step if self._trial.processes > 1 else max(step, self._train._last)

    def _find(self, storage_id: str) -> Checkpoint:
        if "://" in storage_id:
            return checkpoint_of(storage_id, open_vault(storage_id))
        found = {each.name: each for each in self._trial.checkpoints}
        if storage_id not in found:
            names = ", ".join(sorted(found)) or "none"
            raise FileNotFoundError(
                f"core_v2: {self._trial.dir} has no checkpoint {storage_id!r}; there is: {names}. "
                'How many are kept is said by checkpoint_storage={"type": ..., "save_trial_latest": 5, ...}'
            )
        return found[storage_id]


class PreemptContext(Partial):
    """The notice that the machine will be taken away."""

    _called = "preempt"

    def __init__(self, trial: Trial, mode: PreemptMode) -> None:
        self._trial = trial
        self._mode = PreemptMode(mode)
        self._asked = 0

    def should_preempt(self, auto_ack: bool = True) -> bool:
        """Whether to save and leave now. Costs microseconds: ask it every step.

        :param auto_ack: a True is :meth:`acknowledge_preemption_signal` as well.
        """
        if self._mode is PreemptMode.ChiefOnly and self._trial.process:
            raise RuntimeError(f"core_v2: with ChiefOnly rank 0 asks, not rank {self._trial.process}")
        self._asked += 1
        together = self._mode is PreemptMode.WorkersAskChief
        said = self._trial.stopping(self._asked, agree=None if together else bool)
        if said and auto_ack:
            self.acknowledge_preemption_signal()
        return said

    def acknowledge_preemption_signal(self) -> None:
        """The process ends because of it and has not finished: ``close`` ends it with exit code 143."""
        self._trial.acknowledge()


class SearcherContext:
    """Deprecated in Determined, and not here: Airflow makes one task instance of each trial."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise absent(
            f"searcher.{name}",
            "Write the loop as range(start, length); many trials are train.expand(lr=[...]) in the DAG.",
        )


class ProfilerContext:
    """Not here."""

    def on(self, *_: Any, **__: Any) -> None:
        warn_once("core_v2: there is no profiler of the machine: profile with jax.profiler or torch.profiler")

    def off(self) -> None:
        """As it is."""


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
            continue
        with contextlib.suppress(TypeError, ValueError):
            plain = as_json(value)
            if isinstance(plain, (bool, int, float, str)):
                yield f"{prefix}{name}", plain
                continue
        warn_once(f"core_v2: the metric {prefix + name!r} is not kept: it is no number, bool or text")


def _files(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    if folder is not None:
        yield from (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
