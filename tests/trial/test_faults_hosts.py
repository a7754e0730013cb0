"""Four processes train together and lose one of them (``checkpointing`` 4, rows 16 and "four hosts")."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import host_process
import pytest
from checkpoint_files import read
from host_process import everything

from airflow_provider_kinetic.job.training.series import read_rows

PROCESSES = 4
pytestmark = pytest.mark.faults


@pytest.fixture
def training(place, scratch):
    """Starts all processes; what killed ones leave on their machine goes with the machine."""
    running = []

    def start(last, death=None, **environ):
        support = Path(host_process.__file__).parent
        known = {
            **os.environ,
            "PYTHONPATH": f"{support}:{support.parent.parent}",
            "KINETIC_HOSTS_TIMEOUT": "60",
        }
        started = []
        for process in range(PROCESSES):
            arguments = [place.uri, process, PROCESSES, last, *([death[1]] if death and death[0] == process else [])]
            command = [sys.executable, host_process.__file__, *map(str, arguments)]
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, env={**known, **environ}, stdout=pipe, stderr=pipe, text=True))
        running.extend(started)
        return started

    yield start
    for process in running:
        process.kill()
        process.communicate()
    for left in scratch.iterdir():
        shutil.rmtree(left)


def ended(processes):
    """Exit codes and what was said."""
    said = [process.communicate(timeout=100) for process in processes]
    for process, (_, errors) in zip(processes, said, strict=True):
        assert process.returncode in (0, 1, 143, -signal.SIGKILL), errors
    return [process.returncode for process in processes], [output for output, _ in said]


def begun(outputs):
    return {re.match(r"begun (\d+) (\d+)", output).groups() for output in outputs}


def check(place, steps):
    """As the next attempt sees it, which is one process only."""
    trial = place.begin()
    assert [each.step for each in trial.checkpoints] == steps
    with trial.restore() as found:
        assert read(found.path) == everything(found.step, PROCESSES)
    names = {each.name for each in trial.checkpoints}
    trial._saver._background.submit(int).result()
    assert set(place.vault.folders(f"{place.uri}/checkpoints")) == names
    assert place.names(".kinetic/parts/") == place.names(".kinetic/hosts/") == []
    last = max(steps)
    rows = [row.step for row in read_rows(place.vault, place.layout) if row.step <= last]
    assert rows == list(range(1, last + 1))
    trial.close()


def test_they_save_and_the_next_job_goes_on(place, training):
    codes, outputs = ended(training(6))
    assert codes == [0] * 4
    assert begun(outputs) == {("0", "1")}
    codes, outputs = ended(training(12))
    assert codes == [0] * 4
    assert begun(outputs) == {("6", "2")}
    check(place, [9, 12])


@pytest.mark.parametrize("victim", [2, 0])
def test_one_is_killed_in_a_save(place, training, victim):
    codes, outputs = ended(training(12, death=(victim, 6), PATIENCE_ONCE_BEGUN="6"))
    assert codes == [-signal.SIGKILL if process == victim else 1 for process in range(4)]
    survivors = [output for process, output in enumerate(outputs) if process != victim]
    assert all("saved 3\n" in output and "failed 6" in output for output in survivors)
    if victim:
        assert "TimeoutError: Nothing is saved of step 6: process 2 of 4 handed in no part" in outputs[0]
    else:
        assert all("TimeoutError: Process 0 gave no sign of life" in output for output in survivors)
    codes, outputs = ended(training(9))
    assert codes == [0] * 4
    assert begun(outputs) == {("3", "2")}
    check(place, [6, 9])


def test_killed_all_at_once_at_any_time_steps_never_go_back(training):
    reached = 0
    for times, seconds in ((0, 0.3), (1, 0.4), (2, 0.1), (3, 0.5)):
        processes = training(10_000)
        lines = [process.stdout.readline() for process in processes]
        ((step, _),) = begun(lines)
        assert int(step) >= reached
        said = [processes[0].stdout.readline() for _ in range(times)]
        with pytest.raises(subprocess.TimeoutExpired):
            processes[0].wait(seconds)
        for process in processes:
            process.kill()
        said.extend(process.stdout.read() for process in processes)
        saved = re.findall(r"^saved (\d+)\n", "".join(said), re.MULTILINE)
        reached = max(reached, *map(int, saved), 0)
    codes, outputs = ended(training(reached + 6))
    assert codes == [0] * 4
    assert int(next(iter(begun(outputs)))[0]) >= reached
    assert reached > 6


def test_one_is_asked_to_stop_and_all_leave_at_one_step(training):
    processes = training(10_000)
    for process in processes:
        assert process.stdout.readline() == "begun 0 1\n"
    processes[2].send_signal(signal.SIGTERM)
    codes, outputs = ended(processes)
    assert codes == [143] * 4
    last = {re.findall(r"saved (\d+)\n", output)[-1] for output in outputs}
    assert len(last) == 1
    codes, outputs = ended(training(int(last.pop()) + 3))
    assert codes == [0] * 4


def test_who_is_restarted_alone_is_told_to_come_with_all(place, training):
    assert ended(training(3))[0] == [0] * 4
    environ = {**os.environ, "KINETIC_HOSTS_TIMEOUT": "1", "PYTHONPATH": str(Path(host_process.__file__).parents[2])}
    code = f"from airflow_provider_kinetic import job; job.trial({place.uri!r}, process=3, processes=4)"
    alone = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=100)
    assert alone.returncode == 1
    assert "Process 3 of 4 found no process 0 of its job" in alone.stderr
    assert "restart all of them" in alone.stderr
