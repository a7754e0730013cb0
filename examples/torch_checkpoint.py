"""A small network in PyTorch: killed at any moment, it goes on from its last checkpoint.

In Airflow: put this file into the folder of the DAGs. On any machine with PyTorch: ``python torch_checkpoint.py
[steps]``; kill it and start it again. The numbered lines are all that it takes.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow_provider_kinetic import job


def train(steps: int = 2_000) -> dict[str, Any]:
    """Learn a sine in so many steps."""
    try:
        import torch
    except ModuleNotFoundError:
        print("torch is not installed, so there is nothing to train")
        return {}

    torch.manual_seed(0)
    torch.set_num_threads(1)  # more would only wait for each other: the network is that small
    model = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = torch.tensor(float("nan"))

    trial, first = job.trial(), 0  # 1
    with trial.restore() as found:  # 2
        if found:
            state = torch.load(found.path / "state.pt", weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            first = found.step
    print(f"goes on after step {first}" if first else "begins", flush=True)

    for step in range(first + 1, steps + 1):
        x = torch.rand(256, 1, generator=torch.Generator().manual_seed(step)) * 6 - 3
        loss = torch.nn.functional.mse_loss(model(x), torch.sin(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            trial.log({"loss": loss}, step=step)  # 3
        if trial.stopping(step) or step % 500 == 0:
            with trial.save(step, loss=loss) as path:  # 4
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path / "state.pt")
            print(f"saved {step}", flush=True)
        trial.exit_if_stopping()  # 5
    return {"steps": steps, "went_on_after": first, "loss": loss.item()}


if __name__ == "__main__":
    if trained := train(*map(int, sys.argv[1:])):
        print(trained)
else:
    from airflow.sdk import dag, task

    @dag(schedule=None, tags=["kinetic"])
    def torch_checkpoint() -> None:
        task.kinetic(accelerator="cpu", requirements=["torch"], retries=2, deferrable=True)(train)()

    torch_checkpoint()
