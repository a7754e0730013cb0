"""A small network in Keras: killed at any moment, it goes on from its last checkpoint.

In Airflow: put this file into the folder of the DAGs. On any machine with Keras and JAX: ``python keras_checkpoint.py
[epochs]``; kill it and start it again. The numbered lines are all that it takes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow_provider_kinetic import job


def train(epochs: int = 20) -> dict[str, Any]:
    """Learn a sine in so many epochs."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras
    import numpy as np

    x = np.linspace(-3, 3, 2_048, dtype="float32")[:, None]
    y = np.sin(x)
    model = keras.Sequential(
        [keras.layers.Input((1,)), keras.layers.Dense(32, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(optimizer="adam", loss="mse")

    trial, first = job.trial(), 0  # 1
    with trial.restore() as found:  # 2
        if found:
            model = keras.saving.load_model(found.path / "model.keras")  # with the state of its optimizer
            first = found.step
    print(f"goes on after epoch {first}" if first else "begins", flush=True)

    class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            trial.log(logs, step=epoch + 1)  # 3
            if trial.stopping(epoch + 1) or (epoch + 1) % 5 == 0:
                with trial.save(epoch + 1, **logs) as path:  # 4
                    self.model.save(path / "model.keras")
                print(f"saved {epoch + 1}", flush=True)
            trial.exit_if_stopping()  # 5

    model.fit(x, y, epochs=epochs, initial_epoch=first, callbacks=[Checkpoints()], verbose=0)
    return {"epochs": epochs, "went_on_after": first, "loss": float(model.evaluate(x, y, verbose=0))}


if __name__ == "__main__":
    print(train(*map(int, sys.argv[1:])))
else:
    from airflow.sdk import dag, task

    @dag(schedule=None, tags=["kinetic"])
    def keras_checkpoint() -> None:
        task.kinetic(accelerator="cpu", requirements=["keras>=3", "jax"], retries=2, deferrable=True)(train)()

    keras_checkpoint()
