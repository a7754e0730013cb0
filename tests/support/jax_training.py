"""A training under ``jax.distributed``, to be stopped: ``python jax_training.py '{"dir": …, "every": 10}'``.

Of several processes each gets the ``address`` of the first. ``order`` is how the loop asks whether to save.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time

import jax
from jax.experimental.multihost_utils import sync_global_devices

from airflow_provider_kinetic import job


def train(dir, every, order="period first", steps=200, stop_after=None, address="", process=0, processes=1):
    """``stop_after``: a step, after whose end the process gets SIGTERM, and JAX the time to agree on where to stop."""
    jax.distributed.initialize(address or _free(), processes, process)
    trial, step = job.trial(dir), 0
    with trial.restore() as found:
        first = found.step if found else 0
    try:
        for step in range(first, steps + 1):
            if step > first:
                _step(trial, step, every, order)
            if step == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(3)
    finally:
        print(f"left at {step}", flush=True)
        sync_global_devices("end")


def _step(trial, step, every, order):
    time.sleep(0.02)
    due = step % every == 0
    if due or trial.stopping(step) if order == "period first" else trial.stopping(step) or due:
        with trial.save(step) as path:
            (path / f"state.{trial.process}").write_text(str(step))
        print(f"saved {step}", flush=True)
    trial.exit_if_stopping()


def _free():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
