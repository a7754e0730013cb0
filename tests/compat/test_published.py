"""A script that makes the calls of Determined's published example, run again and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.job.gcs_http import Session
from airflow_provider_kinetic.job.gcs_vault import GcsVault
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.series import read_rows
from airflow_provider_kinetic.job.vaults import FileVault

ROOT = Path(__file__).parents[2]
SCRIPT = """
import random

from airflow_provider_kinetic.job.compat import core_v2

core_v2.init(
    config=core_v2.Config(
        name="published", external_experiment_id="group", external_trial_id="one", checkpoint_storage={storage!r}
    ),
)
begun = 0
if core_v2.info.latest_checkpoint is not None:
    with core_v2.checkpoint.restore_path(core_v2.info.latest_checkpoint) as path:
        with (path / "state").open() as stream:
            begun = int(stream.read().split(",")[0])
print(core_v2.info._trial_info.experiment_id, begun, flush=True)
for i in range(begun, begun + 100):
    core_v2.train.report_training_metrics(steps_completed=i, metrics={{"loss": random.random()}})
    if (i + 1) % 10 == 0:
        core_v2.train.report_validation_metrics(steps_completed=i, metrics={{"loss": random.random()}})
        with core_v2.checkpoint.store_path({{"steps_completed": i}}) as (path, uuid):
            with (path / "state").open("w") as stream:
                stream.write(f"{{i}},{{uuid}}")
core_v2.close()
"""


def environment(**env: str) -> dict[str, str]:
    """Of a script outside of any job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KINETIC")}
    return {**kept, "PYTHONPATH": str(ROOT), **env}


def run(folder: Path, *command: str | Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=folder,
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def check(vault, uri, last):
    """One series without a gap, and the checkpoints that retention leaves."""
    layout = TrialLayout(uri)
    rows = read_rows(vault, layout)
    assert [row.step for row in rows if row.group == "train"] == list(range(last + 1))
    assert [row.step for row in rows if row.group == "validation"] == list(range(9, last + 1, 10))
    last_saved = last - last % 10 - 1
    steps = [int(name.partition("-")[0]) for name in vault.folders(layout.checkpoints)]
    assert steps == [last_saved - 10, last_saved]
    summary = json.loads(vault.read(layout.summary))
    assert summary["series"]["train/loss"]["count"] == last + 1


def test_it_goes_on_each_time(tmp_path):
    said = [run(tmp_path, "-c", SCRIPT.format(storage=None)) for _ in range(3)]
    assert said == ["group 0\n", "group 99\n", "group 189\n"]
    uri = path_to_uri(tmp_path / "kinetic-output" / "group" / "one")
    check(FileVault(), uri, 288)
    record = json.loads(FileVault().read(f"{uri}/.kinetic/core_v2.json"))
    assert record["config"]["external_trial_id"] == "one"
    assert record["attempt"] == 3


def test_it_goes_on_in_cloud_storage(tmp_path):
    with GcsServer("tests") as server:
        environ = {"STORAGE_EMULATOR_HOST": server.url}
        said = [run(tmp_path, "-c", SCRIPT.format(storage="gs://tests/trials"), **environ) for _ in range(3)]
        assert said == ["group 0\n", "group 99\n", "group 189\n"]
        session = Session(environ, patience=10)
        check(GcsVault(session), "gs://tests/trials/group/one", 288)
        session.close()
        assert not (tmp_path / "kinetic-output").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_example_goes_on_after_a_signal(tmp_path, number):
    example = ROOT / "examples" / "determined_port.py"
    command = [sys.executable, "-S", "-u", example, "1000", "0.003"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    with process:
        said = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        said += process.stdout
    assert said[0] == "determined-port goes on at step 0\n"
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    saved = int(said[-1].split()[1])
    begun = int(run(tmp_path, example, "21").splitlines()[0].rpartition(" ")[2])
    assert begun == saved or (number == signal.SIGKILL and begun == saved + 10)
    uri = path_to_uri(tmp_path / "kinetic-output" / "determined-port" / "determined-port-1")
    trained = [row.step for row in read_rows(FileVault(), TrialLayout(uri)) if row.group == "train"]
    assert trained == list(range(begun + 21))
    ends = [json.loads(path.read_text())["state"] for path in Path(uri[7:]).rglob("attempts/*.end.json")]
    assert sorted(ends) == (["COMPLETED", "PREEMPTED"] if number == signal.SIGTERM else ["COMPLETED"])
