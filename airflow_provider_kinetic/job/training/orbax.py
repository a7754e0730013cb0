"""Orbax in one line: its ``CheckpointManager`` saves where the trial looks, and when the trial says so.

Orbax decides by policies when to save, and takes any object for one. Ours saves a last time when the job is asked to
stop, which Orbax itself only sees with ``jax.distributed``, and nothing more once a newer attempt has begun
(``checkpointing`` 1.2, 1.3, 3.9).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.job.training.checkpoints import in_parallel
from airflow_provider_kinetic.job.training.heartbeat import Heartbeat
from airflow_provider_kinetic.job.training.hosts import together
from airflow_provider_kinetic.job.training.leaving import Leaving
from airflow_provider_kinetic.job.training.metrics import Metrics
from airflow_provider_kinetic.job.training.numbers import as_number
from airflow_provider_kinetic.job.training.retention import Best, Keep
from airflow_provider_kinetic.model.errors import UnsupportedParameter

IGNORED = {
    "save_interval_steps": "every=",
    "save_on_steps": "save_decision_policy=",
    "should_save_fn": "save_decision_policy=",
    "max_to_keep": "keep=",
    "keep_period": "preservation_policy=",
    "keep_time_interval": "preservation_policy=",
    "best_fn": "best=",
    "best_mode": "best=",
}
"""Options of Orbax that count for nothing beside a policy, and what to give instead."""


class WithOrbax(Leaving):
    """The part of a trial that is about Orbax."""

    dir: str
    _metrics: Metrics
    _heartbeat: Heartbeat

    @property
    def orbax_dir(self) -> str:
        """For a ``CheckpointManager``: a path of this machine, or the ``gs://`` URI."""
        checkpoints = f"{self.dir}/checkpoints"
        return str(uri_to_path(checkpoints)) if checkpoints.startswith("file://") else checkpoints

    def orbax_options(
        self, *, every: int | None = None, keep: int | None = 2, best: Best | None = None, **options: Any
    ) -> Any:
        """``CheckpointManagerOptions``: call ``manager.save`` at every step, and it saves when it is time.

        That is when ``every`` says so, when this attempt is asked to stop, and never once a newer attempt has begun.
        Its two policies also fit Orbax's newer ``experimental.v1.training.Checkpointer``. On several hosts, make them
        and call ``save`` on each.

        :param every: so many steps; each call if neither this nor ``save_decision_policy`` is given.
        :param keep: so many of the last ones, at least 1; None: all.
        :param best: as in :class:`Keep`, by the ``metrics`` that a step is saved with; kept in addition.
        :param options: Orbax's own; its policies are asked in addition to these.
        :raises UnsupportedParameter: Orbax is not installed; an option that Orbax passes over beside policies; a name
            of steps that is not their number, by which the trial finds them.
        :raises ValueError: a number is too small, or ``best`` is none of its forms.
        """
        for name in IGNORED.keys() & options.keys():
            raise UnsupportedParameter(
                f"Orbax passes over {name}= beside the policies of orbax_options().",
                advice=f"Pass {IGNORED[name]} instead.",
            )
        _check_names(**options)
        ranking = Keep(latest=1 if keep is None else keep, best=best, every=every).ranking
        orbax, score = _orbax(), best and _score(best)
        wanted = [orbax.FixedIntervalPolicy(every)] if every else []
        wanted += [options.pop("save_decision_policy")] if "save_decision_policy" in options else []
        wanted = [*(wanted or [orbax.FixedIntervalPolicy(1)]), orbax.PreemptionCheckpointingPolicy()]
        kept = [options.pop("preservation_policy")] if "preservation_policy" in options else []
        kept.append(orbax.LatestN(keep))
        if score:
            kept.append(_best(orbax, score, *ranking))
            options.update(best_fn=score, best_mode=ranking[1])
        return orbax.CheckpointManagerOptions(
            save_decision_policy=SavePolicy(orbax.AnySavePolicy(wanted), self._at, self._may_save),
            preservation_policy=orbax.AnyPreservationPolicy(kept),
            **options,
        )

    def _at(self, step: int) -> bool:
        """The training is there. Whether it must stop; Orbax's own policy knows that at one step alone, with JAX."""
        self._heartbeat.step = step
        return self.stopping(step)

    def _may_save(self) -> bool:
        """Rows until now are stored first, so that whoever continues from this step has all of them."""
        calls: list[Callable[[], bool | None]] = [self._fence.holds, self._metrics.flush]
        return bool(in_parallel(lambda call: call(), calls)[0])


class SavePolicy:
    """What Orbax asks before it saves; its saves wait for one another, so every host must say the same.

    :param wanted: Orbax's policies.
    :param stopping: by step.
    :param allowed: asked before each save.
    """

    def __init__(self, wanted: Any, stopping: Callable[[int], bool], allowed: Callable[[], bool]) -> None:
        self._wanted = wanted
        self._stopping = stopping
        self._allowed = allowed

    def should_save(self, step: Any, previous_steps: Sequence[Any], *, context: Any) -> bool:
        wanted = self._stopping(step.step)
        wanted = wanted or self._wanted.should_save(step, previous_steps=previous_steps, context=context)
        return bool(wanted) and _of_all(self._allowed)


def _of_all(call: Callable[[], bool]) -> bool:
    """The answer of the first host, where several compute together with JAX."""
    if not together() or import_module("jax").process_count() < 2:
        return call()
    jax = import_module("jax")
    answer = jax.process_index() == 0 and call()  # of the others nobody is asked
    return bool(import_module("jax.experimental.multihost_utils").broadcast_one_to_all(answer))


def _check_names(step_prefix: str | None = None, step_name_format: Any = None, **_: Any) -> None:
    name = step_name_format.build_name(1) if step_name_format else f"{step_prefix}_1" if step_prefix else "1"
    if not name.isdecimal():
        option = "step_name_format" if step_name_format else "step_prefix"
        raise UnsupportedParameter(
            f"With {option}= a step is called {name!r}, and the trial finds steps by their numbers.",
            advice=f"Leave {option} out, or pad the numbers: step_format_fixed_length=8.",
        )


def _best(orbax: Any, score: Callable[[Any], float], count: int, way: str) -> Any:
    return orbax.BestN(get_metric_fn=score, reverse=way == "min", n=count, keep_checkpoints_without_metrics=False)


def _score(best: Best) -> Callable[[Mapping[str, Any]], float]:
    """A step without the number, or with NaN, is the worst."""
    name = best if isinstance(best, str) else best[0]
    worst = math.inf if Keep(best=best).ranking[1] == "min" else -math.inf

    def score(metrics: Mapping[str, Any]) -> float:
        value = as_number(metrics.get(name))
        return worst if value is None or math.isnan(value) else value

    return score


def _orbax() -> Any:
    try:
        return import_module("orbax.checkpoint.checkpoint_managers")
    except ImportError as error:
        raise UnsupportedParameter(
            f"orbax_options() needs Orbax, which cannot be imported: {error}",
            advice="Add `orbax-checkpoint>=0.12` to the requirements (and gcsfs for gs://), or save with save().",
        ) from error
