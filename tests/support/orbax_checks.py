"""What holds of Orbax in one interpreter, because each start costs seconds: ``python orbax_checks.py URI [NAME…]``.

Prints a JSON object: for each function ``check_…`` its traceback, or null.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
import warnings

import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.experimental import v1

from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.model.errors import UnsupportedParameter

STATE = {"a": jnp.arange(10.0), "b": {"c": jnp.ones((3, 4))}}


def save(manager, *steps, **metrics):
    """Steps that it has saved."""
    found = [step for step in steps if manager.save(step, args=ocp.args.StandardSave(STATE), metrics=metrics or None)]
    manager.wait_until_finished()
    return found


def check_the_options_decide(uri):
    with Trial(uri, Keep()) as trial:
        with ocp.CheckpointManager(trial.orbax_dir, options=trial.orbax_options(every=10, keep=2)) as manager:
            assert save(manager, *range(1, 41)) == [10, 20, 30, 40]
            assert manager.all_steps() == [30, 40]
        assert [each.step for each in trial.checkpoints] == [30, 40]


def check_each_call_saves_when_nothing_is_said(uri):
    with (
        Trial(uri, Keep()) as trial,
        ocp.CheckpointManager(trial.orbax_dir, options=trial.orbax_options(keep=None)) as manager,
    ):
        assert save(manager, 1, 2, 5) == [1, 2, 5]
        assert manager.all_steps() == [1, 2, 5]


def check_the_best_ones_stay(uri):
    with Trial(uri, Keep()) as trial:
        options = trial.orbax_options(keep=1, best=("loss", 2, "min"))
        with ocp.CheckpointManager(trial.orbax_dir, options=options) as manager:
            for step, loss in enumerate((0.9, 0.1, 0.5, 0.2, 0.7, float("nan"), 0.8), 1):
                save(manager, step, loss=loss)
            save(manager, 8)
            assert manager.all_steps() == [2, 4, 8]
            assert manager.best_step() == 2
        assert trial.best("loss").step == 2
        assert trial.best("loss").metadata == {"loss": 0.1}
        assert trial.best("loss", "max").step == 4


def check_policies_of_the_user_are_asked_too(uri):
    with Trial(uri, Keep()) as trial:
        policies = ocp.checkpoint_managers
        options = trial.orbax_options(
            every=10,
            keep=1,
            save_decision_policy=policies.SpecificStepsPolicy([3]),
            preservation_policy=policies.EveryNSteps(20),
            enable_async_checkpointing=False,
        )
        assert options.enable_async_checkpointing is False
        with ocp.CheckpointManager(trial.orbax_dir, options=options) as manager:
            assert save(manager, *range(1, 31)) == [3, 10, 20, 30]
            assert manager.all_steps() == [20, 30]


def check_what_orbax_would_pass_over_is_refused(uri):
    with Trial(uri, Keep()) as trial:
        for name in ("save_interval_steps", "max_to_keep", "best_fn", "should_save_fn"):
            with contextlib.suppress(UnsupportedParameter):
                trial.orbax_options(**{name: 5})
                raise AssertionError(name)


def check_nothing_is_saved_once_superseded(uri):
    with Trial(uri, Keep()) as trial:
        with ocp.CheckpointManager(trial.orbax_dir, options=trial.orbax_options()) as manager:
            assert save(manager, 1) == [1]
            with Trial(uri, Keep()):
                assert save(manager, 2, 3) == []
        assert trial.stop_reason == "superseded"


def check_custom_metadata_and_time_are_seen(uri):
    with Trial(uri, Keep()) as trial:
        with ocp.CheckpointManager(trial.orbax_dir, options=trial.orbax_options()) as manager:
            manager.save(7, args=ocp.args.StandardSave(STATE), custom_metadata={"epoch": 2})
        found = trial.latest
        assert (found.step, found.kind, found.metadata) == (7, "orbax", {"epoch": 2})
        assert found.created.endswith("Z")
        assert found.bytes > 100


def check_both_kinds_live_beside_each_other(uri):
    """Also when Orbax is told to clear up: in Cloud Storage it takes what has no mark of its own for unfinished."""
    with Trial(uri, Keep(latest=1)) as trial:
        options = trial.orbax_options(keep=1, cleanup_tmp_directories=True)
        for step in (1, 2, 3):
            with ocp.CheckpointManager(trial.orbax_dir, options=options) as manager:
                assert save(manager, step) == [step]
                assert manager.all_steps() == [step]
            with trial.save(step) as folder:
                (folder / "state").write_text(str(step))
        trial._saver._background.submit(int).result()
        assert [(each.step, each.kind) for each in trial.checkpoints] == [(3, "kinetic"), (3, "orbax")]
        with ocp.CheckpointManager(trial.orbax_dir, options=options) as manager:
            manager._maybe_await_cleanup_tmp_directory()
        with trial.restore(strict=True) as found:
            assert (found.path / "state").read_text() == "3"


def check_a_tree_inside_of_a_save_is_read_in_place(uri):
    with Trial(uri, Keep()) as trial:
        with trial.save(4) as folder, ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / "tree", STATE)
            checkpointer.wait_until_finished()
        where = trial.latest.uri.removeprefix("file://").replace("%20", " ")
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(f"{where}/tree", STATE)
        assert (found["a"] == STATE["a"]).all()


def check_the_newer_checkpointer_takes_the_same_policies(uri):
    with Trial(uri, Keep()) as trial:
        options = trial.orbax_options(every=10, keep=1, best="loss")
        checkpointer = v1.training.Checkpointer(
            trial.orbax_dir,
            save_decision_policy=options.save_decision_policy,
            preservation_policy=options.preservation_policy,
        )
        with checkpointer:
            saved = [
                step for step in range(1, 41) if checkpointer.save(step, STATE, metrics={"loss": (step - 22) ** 2})
            ]
        assert saved == [10, 20, 30, 40]
        assert [(each.step, each.metadata) for each in trial.checkpoints] == [(20, {"loss": 4}), (40, {"loss": 324})]


def main(uri, *names):
    warnings.simplefilter("ignore")
    results = {}
    for name, check in list(globals().items()):
        if name.startswith("check_") and (not names or name in names):
            try:
                check(f"{uri}/{name}")
                results[name] = None
            except Exception:
                results[name] = traceback.format_exc()
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
