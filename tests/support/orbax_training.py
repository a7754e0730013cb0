"""A training with Orbax's checkpoints, to be stopped and killed: ``python orbax_training.py '{"steps": 100, …}'``."""

from __future__ import annotations


def train(
    dir=None,
    steps=10**6,
    every=20,
    ask=1,
    pause=0.01,
    freeze_at=0,
    address="",
    process=0,
    jax_first=True,
    plain=False,
):
    """The state counts its steps. ``address``: of the first of two processes that compute together.

    ``ask``: Orbax is asked whether to save at each so many steps.
    ``freeze_at``: a step that does not let the interpreter see signals for a second, as a long call into C does.
    """
    import contextlib
    import time

    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    if address and jax_first:
        jax.distributed.initialize(address, 2, process)
    trial, where, options = _plain(dir, every) if plain else _ours(dir, every, address, process)
    if address and not jax_first:
        jax.distributed.initialize(address, 2, process)
    state, step = {"count": np.zeros(1000, np.int64)}, 0
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: print(f"left at {step}", flush=True))
        manager = stack.enter_context(ocp.CheckpointManager(where, options=options))
        first = manager.latest_step() or 0
        if first:
            state = manager.restore(first, args=ocp.args.StandardRestore(state))
        assert int(state["count"][-1]) == first
        print(f"begun {first}", flush=True)
        for step in range(first + 1, steps + 1):
            state = {"count": state["count"] + 1}
            time.sleep(pause)
            if step == freeze_at:
                _freeze()
            trial.log({"loss": 1 / step}, step=step)
            if step % ask == 0 and manager.save(step, args=ocp.args.StandardSave(state)):
                print(f"saved {step}", flush=True)
            trial.exit_if_stopping()
    return first


def distributed(**how):
    """Alone, but with JAX's own notice of a stop."""
    import socket

    import jax

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    jax.distributed.initialize(address, 1, 0)
    return train(**how)


def _ours(dir, every, address, process):
    from airflow_provider_kinetic import job

    trial = job.trial(dir, process=process, processes=2) if address else job.trial(dir)
    return trial, trial.orbax_dir, trial.orbax_options(every=every)


def _plain(dir, every):
    import os
    from types import SimpleNamespace

    import orbax.checkpoint as ocp

    nobody = SimpleNamespace(log=lambda *_, **__: None, exit_if_stopping=lambda: None)
    where = f"{dir or os.environ['KINETIC_OUTPUT_DIR'].removeprefix('file://')}/checkpoints"
    return nobody, where, ocp.CheckpointManagerOptions(save_interval_steps=every, max_to_keep=2)


def _freeze():
    import time

    print("frozen", flush=True)
    sum(range(60_000_000))
    print(f"thawed {time.time()}", flush=True)


if __name__ == "__main__":
    import json
    import sys

    train(**json.loads(sys.argv[1]))
