"""The demo's training is plain JAX with an Orbax manager: its directory alone decides whether it goes on."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import psutil
import pytest
import tasks
from frameworks import PYTHON, ROOT
from project import until
from shop import Shop
from workers import load_task

from airflow_provider_kinetic.job.storage import uri_to_path

SAVE_EVERY = 20


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop.opened(tmp_path, monkeypatch) as shop:
        shop.connect(emulate_accelerators=True)
        source = (ROOT / "dags" / "kinetic_retrain.py").read_text()
        shop.dag_file.write_text(source.replace("\nkinetic_retrain()\n", "\ndag = kinetic_retrain()\n"))
        yield shop


def train(shop: Shop, steps: int) -> tuple[tasks.TaskResult, list[str]]:
    """One try; its result, and how its job said that it began."""
    task = load_task(shop.dag_file, "train")
    random = numpy.random.default_rng(0)
    images, labels = random.integers(0, 16, (64, 64)).tolist(), random.integers(0, 10, 64).tolist()
    task.op_args, task.op_kwargs = (images, labels), {"steps": steps, "save_every": SAVE_EVERY}
    task.container_image, task.requirements = str(PYTHON), None
    result = tasks.run(task, shop.db)
    logs = uri_to_path(result.xcoms["output_dir"]).glob(f".kinetic/jobs/{result.xcoms['job_id']}/logs/*.log")
    said = "".join(log.read_text() for log in sorted(logs))
    return result, re.findall(r"(?:starts with|resumed at) step \d+", said)


def lose_it(shop: Shop, step: int) -> None:
    """The machine of the job is gone, as soon as there is a checkpoint of this step."""
    until(lambda: list(shop.platform.glob(f"outputs/*/train/*/checkpoints/{step}")), 250)
    for process in shop.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def test_it_goes_on_after_a_failure_and_begins_anew_after_a_clear_of_what_completed(shop):
    end = threading.Thread(target=lose_it, args=(shop, SAVE_EVERY))
    end.start()
    first, _ = train(shop, 10**6)
    end.join()
    saved = max(int(path.name) for path in uri_to_path(first.xcoms["output_dir"]).glob("checkpoints/[0-9]*[0-9]"))
    shop.db.retry(first.key)
    second, began = train(shop, saved + SAVE_EVERY)
    shop.db.clear(first.key, retries=2)
    third, anew = train(shop, SAVE_EVERY)

    assert first.state == "up_for_retry"
    assert (second.xcoms["output_dir"], second.value["step"]) == (first.xcoms["output_dir"], saved + SAVE_EVERY)
    assert began == [f"resumed at step {saved}"]
    assert third.xcoms["output_dir"] == f"{first.xcoms['output_dir']}~2"
    assert (third.value["step"], anew) == (SAVE_EVERY, ["starts with step 0"])
