"""Determined's ``core_v2`` over our trial: a script that was written for detached mode changes its import line.

::

    from airflow_provider_kinetic.job.compat import core_v2  # was: from determined.experimental import core_v2

Metrics, checkpoints, external ids and resume work as they did. What has no meaning without Determined's master warns
once or raises, and says what to use instead; ``docs/training.md`` has the list.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import quote

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.compat.advice import Partial, warn_once
from airflow_provider_kinetic.job.compat.config import (
    Config,
    DefaultConfig,
    Storage,
    UnmanagedConfig,
    keep,
    merged,
    output_dir,
)
from airflow_provider_kinetic.job.compat.contexts import (
    STEPS,
    CheckpointContext,
    DownloadMode,
    EarlyExitReason,
    PreemptContext,
    PreemptMode,
    ProfilerContext,
    SearcherContext,
    TensorboardMode,
    TrainContext,
)
from airflow_provider_kinetic.job.compat.distributed import DistributedContext, DummyDistributedContext
from airflow_provider_kinetic.job.compat.info import ClusterInfo, TrialInfo
from airflow_provider_kinetic.job.compat.ledger import Ledger
from airflow_provider_kinetic.job.training.checkpoints import KINETIC
from airflow_provider_kinetic.job.training.hosts import find_host
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.training.trials import trial as open_trial

__all__ = [
    "Config",
    "DefaultConfig",
    "DistributedContext",
    "DownloadMode",
    "DummyDistributedContext",
    "EarlyExitReason",
    "PreemptMode",
    "TensorboardMode",
    "UnmanagedConfig",
    "checkpoint",
    "close",
    "distributed",
    "info",
    "init",
    "init_context",
    "preempt",
    "searcher",
    "train",
    "url_reverse_webui_exp_view",
]


class Context(Partial):
    """What :func:`init_context` returns; ``with`` closes it."""

    _called = "context"
    _instead: ClassVar = {
        "alert": "Say it with train.set_status(), or raise: the task's on_failure_callback tells people.",
    }

    def __init__(self, trial: Trial, config: Config, distributed: DistributedContext, mode: PreemptMode) -> None:
        self._trial = trial
        self.distributed = distributed
        self.info = _info(trial, config)
        self.train = TrainContext(trial, Ledger(trial, config))
        self.checkpoint = CheckpointContext(trial, self.train)
        self.preempt = PreemptContext(trial, mode)
        self.searcher = SearcherContext()
        self.profiler = ProfilerContext()

    @property
    def url(self) -> str:
        """Where a browser shows the files of the trial."""
        scheme, _, rest = self._trial.dir.partition("://")
        return f"https://console.cloud.google.com/storage/browser/{quote(rest)}" if scheme == "gs" else self._trial.dir

    def start(self) -> None:
        """It has begun when it was made."""

    def close(self, error: BaseException | None = None) -> None:
        """What is on its way is complete afterwards.

        :raises Preempted: a ``SystemExit`` with code 143: the preemption signal was acknowledged, so this end is not
            the end of the training.
        """
        if os.environ.get(protocol.ENV_ATTEMPT):
            self._trial.wait()  # the job closes its trial when its function ends
        else:
            self._trial.close(error)
        if error is None and self._trial.acknowledged:
            self._trial.exit_if_stopping()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.close(error)


train: TrainContext | None = None
checkpoint: CheckpointContext | None = None
distributed: DistributedContext | None = None
preempt: PreemptContext | None = None
searcher: SearcherContext | None = None
info: ClusterInfo | None = None
_context: Context | None = None


def init_context(
    *,
    config: Config | None = None,
    defaults: DefaultConfig | None = None,
    unmanaged: UnmanagedConfig | None = None,
    client: Any = None,
    distributed: DistributedContext | None = None,
    checkpoint_storage: Storage | None = None,
    preempt_mode: PreemptMode = PreemptMode.WorkersAskChief,
    tensorboard_mode: TensorboardMode = TensorboardMode.AUTO,
) -> Context:
    """A context for ``with``. In a job it is the job's trial; elsewhere the external ids name its directory.

    :param config: ``external_experiment_id`` and ``external_trial_id`` go on where the same two were before, one
        without the other is a new trial.
    :param defaults: deprecated, as is ``unmanaged``.
    :param distributed: which process this is; else as JAX or the environment say.
    :param checkpoint_storage: folder or ``gs://`` URI below which trials lie; ``./kinetic-output`` if not given.
    """
    if client is not None:
        warn_once("core_v2: `client` is not used: there is no master")
    told = merged(config, defaults, unmanaged)
    TensorboardMode(tensorboard_mode)
    rank, size = (distributed.rank, distributed.size) if distributed else find_host()
    place = output_dir(told, checkpoint_storage, size)
    trial = open_trial(place, keep=keep(told, checkpoint_storage), process=rank, processes=size)
    return Context(trial, told, distributed or DistributedContext(rank=rank, size=size), preempt_mode)


def init(**options: Any) -> None:
    """As :func:`init_context`, into this module: ``core_v2.train``, ``core_v2.checkpoint``, and so on."""
    global _context, train, checkpoint, distributed, preempt, searcher, info
    if _context is not None:
        _context.close()
    _context = init_context(**options)
    train, checkpoint, preempt = _context.train, _context.checkpoint, _context.preempt
    distributed, searcher, info = _context.distributed, _context.searcher, _context.info


def close() -> None:
    """Raises as :meth:`Context.close`."""
    global _context, train
    context, _context, train = _context, None, None
    if context is not None:
        context.close()


def url_reverse_webui_exp_view() -> str:
    """Where the files of the trial are seen: there is no master with a page.

    :raises RuntimeError: before :func:`init`.
    """
    if _context is None:
        raise RuntimeError("core_v2: call init() first")
    return _context.url


def __getattr__(name: str) -> Any:
    raise AttributeError(f"core_v2 of a Kinetic job has no {name!r}; it has {', '.join(__all__)}")


def _info(trial: Trial, config: Config) -> ClusterInfo:
    saved = [each for each in trial.checkpoints if each.kind == KINETIC]
    latest = max(saved, key=lambda each: (each.attempt, each.step), default=None)
    parts = trial.dir.split("/")
    about = TrialInfo(
        experiment=config.external_experiment_id or parts[-2],
        trial=config.external_trial_id or parts[-1],
        config=config.to_dict(),
        attempt=trial.attempt,
        steps=latest.metadata.get(STEPS, latest.step) if latest else 0,
    )
    return ClusterInfo(about, latest.name if latest else trial.source)
