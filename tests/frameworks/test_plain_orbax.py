"""Orbax code that knows nothing of us, in Airflow's tasks: which folder a try gets is all that it takes to go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from frameworks import PYTHON
from project import until
from shop import Shop

TRAIN = """
def f(crash_at=0, below="/checkpoints"):
    import os
    import time
    import numpy as np
    import orbax.checkpoint as ocp

    folder = os.environ["KINETIC_OUTPUT_DIR"].removeprefix("file://") + below
    options = ocp.CheckpointManagerOptions(save_interval_steps=10, max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager(folder, options=options) as manager:
        first = manager.latest_step() or 0
        state = {"count": np.zeros(10)}
        if first:
            state = manager.restore(first, args=ocp.args.StandardRestore(state))
        assert state["count"][0] == first
        for step in range(first + 1, 51):
            state = {"count": state["count"] + 1}
            manager.save(step, args=ocp.args.StandardSave(state))
            if first == 0 and step == crash_at and not os.path.exists("{gate}/mended"):
                raise ValueError("a bug")
            while first == 0 and step == 25 and os.path.exists("{gate}/waiting"):
                time.sleep(0.02)
    return first
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        shop.image = str(PYTHON)
        yield shop


def test_a_retry_goes_on_and_a_clear_of_what_succeeded_starts_afresh(shop: Shop) -> None:
    shop.job(TRAIN, op_kwargs={"crash_at": 35}, retries=1)
    failed = shop.run()
    assert failed.state == "up_for_retry", failed.error
    retried = shop.again(failed)
    assert (retried.state, retried.value) == ("success", 30)
    (shop.folder / "mended").touch()
    cleared = shop.again(retried, clear=True)
    assert (cleared.state, cleared.value) == ("success", 0)
    assert cleared.xcoms["output_dir"] != retried.xcoms["output_dir"]


@pytest.mark.parametrize(("hard", "below"), [(False, "/checkpoints"), (True, "/checkpoints"), (True, "")])
def test_a_preempted_job_goes_on_within_its_try(shop: Shop, hard: bool, below: str) -> None:
    """With a warning, and without; with steps below the output directory, and in it."""
    (shop.folder / "waiting").touch()
    shop.job(TRAIN, op_kwargs={"below": below})
    preempted = threading.Thread(target=_preempt, args=(shop, hard, below))
    preempted.start()
    result = shop.run()
    preempted.join()
    assert (result.state, result.value) == ("success", 20)
    attempts = Path(result.xcoms["output_dir"].removeprefix("file://")) / ".kinetic" / "attempts"
    assert json.loads((attempts / "0002.json").read_text())["parent"]["checkpoint"]["step"] == 20
    latest = result.xcoms["kinetic_checkpoint"]
    assert (latest.step, latest.uri) == (50, f"{result.xcoms['output_dir']}{below}/50")


def _preempt(shop: Shop, hard: bool, below: str) -> None:
    until(lambda: any(shop.platform.glob(f"outputs/shop/job/*{below}/20/commit_success.txt")), patience=250)
    shop.ports.cluster.preempt(shop.handle().k8s_name, hard=hard)
