"""A small network in JAX, with checkpoints by Orbax: killed at any moment, it goes on from its last one.

In Airflow: put this file into the folder of the DAGs. On any machine with JAX: ``python jax_orbax.py [steps]``; kill it
and start it again. The numbered lines are all that it takes.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow_provider_kinetic import job


def train(steps: int = 1_000) -> dict[str, Any]:
    """Learn a sine in so many steps."""
    import jax
    import jax.numpy as jnp
    import orbax.checkpoint as ocp

    def loss_of(params: Any, x: Any) -> Any:
        hidden = jnp.tanh(x[:, None] * params["scale"] + params["shift"])
        return jnp.mean((hidden @ params["weights"] - jnp.sin(x)) ** 2)

    @jax.jit
    def update(params: Any, step: int) -> Any:
        x = jax.random.uniform(jax.random.fold_in(jax.random.key(0), step), (256,), minval=-3.0, maxval=3.0)
        loss, slope = jax.value_and_grad(loss_of)(params, x)
        return jax.tree.map(lambda value, change: value - 0.05 * change, params, slope), loss

    scale, shift, weights = jax.random.normal(jax.random.key(1), (3, 32))
    params = {"scale": scale, "shift": shift, "weights": weights}

    loss, trial = None, job.trial()  # 1
    with ocp.CheckpointManager(trial.orbax_dir, options=trial.orbax_options(every=250, keep=2)) as manager:  # 2
        first = manager.latest_step() or 0
        if first:
            params = manager.restore(first, args=ocp.args.StandardRestore(params))  # 3
        print(f"goes on after step {first}" if first else "begins", flush=True)
        for step in range(first + 1, steps + 1):
            params, loss = update(params, step)
            if step % 50 == 0:
                trial.log({"loss": loss}, step=step)
            if manager.save(step, args=ocp.args.StandardSave(params)):  # 4: every 250 steps, and when it must stop
                print(f"saves step {step}", flush=True)
            trial.exit_if_stopping()  # 5
    return {"steps": steps, "went_on_after": first, "loss": None if loss is None else float(loss)}


if __name__ == "__main__":
    print(train(*map(int, sys.argv[1:])))
else:
    from airflow.sdk import dag, task

    @dag(schedule=None, tags=["kinetic"])
    def jax_orbax() -> None:
        requirements = ["orbax-checkpoint>=0.12", "gcsfs"]  # gcsfs: Orbax on gs://
        task.kinetic(accelerator="cpu", requirements=requirements, retries=2, deferrable=True)(train)()

    jax_orbax()
