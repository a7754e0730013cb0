"""The same loop as a script, without a runner around it: any interpreter, a folder, and a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interpreters import interpreters

ROOT = Path(__file__).parent.parent.parent
LOOP = """
import sys, time
from airflow_provider_kinetic import job

assert "airflow_provider_kinetic.job.training.trials" not in sys.modules
t = job.trial()
with t.restore() as found:
    start = found.step if found else 0
print(f"begun {start}", flush=True)
for step in range(start + 1, start + 400):
    time.sleep(0.02)
    t.log({"loss": 1 / step}, step=step)
    if step % 50 == 0 or t.stopping(step):
        assert t.time_left > 10
        with t.save(step, wait=False) as path:
            (path / "state").write_text(str(step))
    t.exit_if_stopping()
"""

OPENED = "import os, sys, threading\nfrom airflow_provider_kinetic import job\njob.trial().log({'a': 1}, step=1)\n"


@pytest.fixture
def script(tmp_path):
    running = []

    def start(code, python=sys.executable, folder=tmp_path):
        environ = {name: value for name, value in os.environ.items() if not name.startswith("KINETIC")}
        environ["PYTHONPATH"] = str(ROOT)
        command = [python, "-S", "-c", code]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def record(tmp_path, name):
    return json.loads((tmp_path / "kinetic-output/.kinetic" / name).read_text())


def test_a_signal_saves_once_more_and_the_next_start_goes_on(script, tmp_path):
    last = 0
    for attempt in (1, 2):
        process = script(LOOP)
        assert process.stdout.readline() == f"begun {last}\n".encode()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 143, errors
        end = record(tmp_path, f"attempts/000{attempt}.end.json")
        assert end["state"] == "PREEMPTED"
        assert end["checkpoint"]["step"] > last
        last = end["checkpoint"]["step"]
    assert record(tmp_path, "metrics/summary.json")["series"]["train/loss"]["count"] == last


def test_a_second_signal_ends_what_does_not_listen(script):
    process = script(
        "import time\nfrom airflow_provider_kinetic import job\njob.trial()\nprint('begun', flush=True)\n"
        "while True: time.sleep(0.05); job.trial().stopping() and print('heard', flush=True)\n"
    )
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"heard\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_saved_while_the_interpreter_ends_is_saved(script, tmp_path, wait):
    process = script(
        "import atexit\nfrom airflow_provider_kinetic import job\nt = job.trial()\n@atexit.register\ndef last():\n"
        f"    with t.save(5, wait={wait}) as folder: (folder / 'state').write_text('5')\n"
    )
    assert process.communicate(timeout=30)[1] == b""
    assert record(tmp_path, "attempts/0001.end.json")["checkpoint"]["step"] == 5


def test_every_trial_of_a_process_hears_a_stop(script):
    process = script(
        "import os, signal, time\nfrom airflow_provider_kinetic import job\n"
        "trials = [job.trial(name) for name in ('one', 'two', 'three')]\ntrials.pop(1).close()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint([trial.stopping(1) for trial in trials])"
    )
    assert process.communicate(timeout=100)[0] == b"[True, True]\n"


def test_a_process_that_was_forked_off_ends_by_a_signal(script):
    process = script(
        "import os, signal, time\nfrom airflow_provider_kinetic import job\njob.trial()\n"
        "if not (child := os.fork()): time.sleep(20)\n"
        "os.kill(child, signal.SIGTERM)\nprint(os.WTERMSIG(os.waitpid(child, 0)[1]))"
    )
    assert process.communicate(timeout=100)[0] == b"15\n"


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        ("", "COMPLETED", None),
        ("sys.exit()", "COMPLETED", None),
        ("sys.exit(0)", "COMPLETED", None),
        ("sys.exit('disk full, giving up')", "FAILED", {"type": "SystemExit", "text": "disk full, giving up"}),
        ("sys.exit(3)", "FAILED", {"type": "SystemExit", "text": "3"}),
        ("raise ValueError('no')", "FAILED", {"type": "ValueError", "text": "no"}),
        ("try: sys.exit(3)\nexcept SystemExit: pass", "COMPLETED", None),
        ("try: sys.exit(0)\nfinally: raise ValueError('no')", "FAILED", {"type": "ValueError", "text": "no"}),
        ("def main(): raise ValueError('no')\nmain()", "FAILED", {"type": "ValueError", "text": "no"}),
        ("threading.Thread(target=sys.exit, args=(3,)).start()", "COMPLETED", None),
        (
            "import argparse; argparse.ArgumentParser().parse_args(['--no'])",
            "FAILED",
            {"type": "SystemExit", "text": "2"},
        ),
    ],
)
def test_the_end_of_a_script_that_does_not_close_is_written_down(script, tmp_path, ending, state, error):
    process = script(f"{OPENED}{ending}\n")
    _, errors = process.communicate(timeout=100)
    assert (process.returncode == 0) is (state == "COMPLETED"), errors
    end = record(tmp_path, "attempts/0001.end.json")
    assert (end["state"], end["error"]) == (state, error)


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "raise SystemExit('giving up')", "os._exit(1)"])
def test_of_an_end_that_nobody_can_know_nothing_is_said(script, tmp_path, ending):
    process = script(f"{OPENED}{ending}\n")
    process.communicate(timeout=100)
    assert process.returncode in (1, 3)
    assert [path.name for path in (tmp_path / "kinetic-output/.kinetic/attempts").iterdir()] == ["0001.json"]


@pytest.mark.parametrize("python", [pytest.param(python, id=minor) for minor, python in interpreters()])
def test_every_python_tells_a_script_that_finished_from_one_that_gave_up(script, tmp_path, python):
    endings = {"": "COMPLETED", "sys.exit(0)": "COMPLETED", "sys.exit(3)": "FAILED", "raise SystemExit(3)": None}
    folders = {ending: tmp_path / str(number) for number, ending in enumerate(endings)}
    for folder in folders.values():
        folder.mkdir()
    for process in [script(f"{OPENED}{ending}\n", python, folder) for ending, folder in folders.items()]:
        process.communicate(timeout=100)
    records = {ending: folder / "kinetic-output/.kinetic/attempts/0001.end.json" for ending, folder in folders.items()}
    found = {
        ending: json.loads(each.read_text())["state"] if each.exists() else None for ending, each in records.items()
    }
    assert found == endings


@pytest.mark.parametrize(
    ("ending", "state"),
    [("sys.exit('giving up')", "FAILED"), ("raise SystemExit(3)", "FAILED"), ("raise SystemExit(0)", "COMPLETED")],
)
def test_who_uses_with_is_always_known(script, tmp_path, ending, state):
    script(f"import sys\nfrom airflow_provider_kinetic import job\nwith job.trial(): {ending}").communicate(timeout=100)
    assert record(tmp_path, "attempts/0001.end.json")["state"] == state


@pytest.mark.parametrize(
    ("ending", "state"), [("", "COMPLETED"), ("sys.exit(0)", "COMPLETED"), ("sys.exit(3)", "FAILED")]
)
def test_the_end_of_a_module_that_runs_as_a_script_is_written_down(script, tmp_path, ending, state):
    (tmp_path / "training.py").write_text(f"{OPENED}{ending}\n")
    script("import runpy; runpy.run_path('training.py', run_name='__main__')").communicate(timeout=100)
    assert record(tmp_path, "attempts/0001.end.json")["state"] == state


def test_what_is_on_its_way_when_a_script_ends_is_saved(script, tmp_path):
    process = script(
        "from airflow_provider_kinetic import job\n"
        "with job.trial().save(1, wait=False) as path:\n"
        "    for n in range(50): (path / str(n)).write_bytes(bytes(10**5))\n"
    )
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert record(tmp_path, "attempts/0001.end.json")["checkpoint"]["step"] == 1


def test_a_trial_that_is_begun_in_a_thread_says_that_it_hears_no_stop(script):
    process = script(
        "import threading, time\nfrom airflow_provider_kinetic import job\n"
        "thread = threading.Thread(target=job.trial)\nthread.start(); thread.join()\nprint('begun', flush=True)\n"
        "while True: job.trial().stopping() and print('heard', flush=True); time.sleep(0.05)"
    )
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=100)
    assert (process.returncode, output) == (-signal.SIGTERM, b"")
    assert b"A stop will not be heard" in errors
