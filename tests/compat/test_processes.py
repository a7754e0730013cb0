"""Several processes with Determined's names, as its published example of distributed training has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, warnings
from airflow_provider_kinetic.job.compat import core_v2

distributed = core_v2.DistributedContext.from_torch_distributed()
core_v2.init(
    config=core_v2.Config(name="both", external_experiment_id="e", external_trial_id="t"), distributed=distributed
)
rank = core_v2.distributed.rank
try:
    with core_v2.checkpoint.store_path({"steps_completed": 0}):
        raise AssertionError
except NotImplementedError as error:
    assert "shard=True" in str(error)
first = 0
if core_v2.info.latest_checkpoint is not None:
    with core_v2.checkpoint.restore_path(core_v2.info.latest_checkpoint) as path:
        first = int((path / f"state_{rank}").read_text()) + 1
for i in range(first, first + 3):
    if rank == 0:
        core_v2.train.report_training_metrics(i, {"loss": i})
    assert core_v2.preempt.should_preempt() is False
    with core_v2.checkpoint.store_path({"steps_completed": i, f"rank_{rank}": "ok"}, shard=True) as (path, name):
        (path / f"state_{rank}").write_text(str(i))
print(first, name, sorted(core_v2.checkpoint.get_metadata(name)))
with warnings.catch_warnings(record=True) as said:
    core_v2.train.report_metrics("other", 0, {"rank": rank})
    assert len(said) == rank
core_v2.close()
"""


def start(folder: Path, rank: int) -> subprocess.Popen[str]:
    names = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KINETIC")}
    environ.update({name: str(value) for name, value in names.items()}, GROUP_RANK="0", GROUP_WORLD_SIZE="1")
    environ.update(PYTHONPATH=str(ROOT), KINETIC_HOSTS_TIMEOUT="30")
    command = [sys.executable, "-S", "-c", SCRIPT]
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_they_store_one_checkpoint_together_and_go_on_from_it(tmp_path):
    for attempt, first in ((1, 0), (2, 3)):
        processes = [start(tmp_path, rank) for rank in range(2)]
        said = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        assert (
            said[0]
            == said[1]
            == f"{first} {first + 2:012d}-a{attempt:04d}-0003 ['rank_0', 'rank_1', 'steps_completed']\n"
        )
    trial = tmp_path / "kinetic-output/e/t"
    newest = max((trial / "checkpoints").iterdir())
    assert sorted(path.name for path in newest.glob("state_*")) == ["state_0", "state_1"]
    series = json.loads((trial / ".kinetic/metrics/summary.json").read_text())["series"]
    assert series["train/loss"]["count"] == 6
