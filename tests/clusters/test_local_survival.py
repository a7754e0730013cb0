"""Creators, nodes and machines that die: the job goes on, or its end is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from airflow_provider_kinetic.clusters import local_folder, local_record
from airflow_provider_kinetic.clusters.base import JobExists
from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.clusters.local_node import files
from airflow_provider_kinetic.model.status import JobState, Reason

FOREVER = "import time; print('ready', flush=True); time.sleep(60)"

CREATOR = """
    import json, os, sys, time
    from pathlib import Path
    from airflow_provider_kinetic.clusters import local_folder
    from airflow_provider_kinetic.clusters.base import JobExists
    from airflow_provider_kinetic.clusters.local import LocalCluster
    from airflow_provider_kinetic.model.manifests import JobManifest
    root, manifest = sys.argv[1:]
    cluster, manifest = LocalCluster(Path(root)), JobManifest.from_dict(json.loads(manifest))
"""
DIES_BEFORE_THE_NODE = "local_folder.start_node = lambda *_: os.kill(os.getpid(), 9)\ncluster.create(manifest)"
STAYS = "cluster.create(manifest)\nprint('created', flush=True)\ntime.sleep(60)"
WAITS_FOR_THE_SHOT = """
print('here', flush=True)
sys.stdin.readline()
try:
    cluster.create(manifest)
    print('created')
except JobExists:
    print('exists')
"""


def creator(root, manifest, act, **options):
    code = textwrap.dedent(CREATOR) + act
    command = [sys.executable, "-c", code, str(root), json.dumps(manifest.to_dict())]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def test_the_job_outlives_its_creator_and_everything_around_it(bench, root):
    manifest = bench.manifest("import time; print('ready', flush=True); time.sleep(1.5); print('through')")
    handle = bench.handle(manifest)
    with creator(root, manifest, STAYS, start_new_session=True) as process:
        assert process.stdout.readline() == "created\n"
        bench.says(handle, "ready")
        os.killpg(process.pid, signal.SIGKILL)
    bench.wait(handle, JobState.SUCCEEDED)
    assert "through" in bench.cluster.tail(handle)


@pytest.mark.parametrize("finder", ["status", "create", "delete"])
def test_a_creator_that_dies_before_the_node_leaves_no_orphan(bench, root, tmp_path, finder):
    """The hole between folder and node: whoever looks next starts the job, once; deleting it needs no start."""
    manifest = bench.manifest(f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    handle = bench.handle(manifest)
    with creator(root, manifest, DIES_BEFORE_THE_NODE) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    if finder == "create":
        with pytest.raises(JobExists):
            bench.cluster.create(manifest)
    if finder == "delete":
        assert bench.cluster.delete(handle)
        assert bench.cluster.status(handle).state is JobState.NOT_FOUND
        assert not (tmp_path / "ran").exists()
        return
    finders = [threading.Thread(target=bench.cluster.status, args=(handle,)) for _ in range(8)]
    for thread in finders:
        thread.start()
    bench.wait(handle, JobState.SUCCEEDED)
    for thread in finders:
        thread.join()
    assert (tmp_path / "ran").read_text() == "x"


def test_twenty_creators_of_one_name_make_one_job(bench, root, tmp_path):
    manifest = bench.manifest(f"import time; open({str(tmp_path / 'ran')!r}, 'a').write('x'); time.sleep(0.5)")
    handle = bench.handle(manifest)
    creators = [creator(root, manifest, WAITS_FOR_THE_SHOT) for _ in range(20)]
    for process in creators:
        assert process.stdout.readline() == "here\n"
    answers = []
    for process in creators:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in creators:
        answers.append(process.communicate()[0].strip())  # noqa: PERF401 - all are shot at before one is asked
    assert sorted(answers) == ["created"] + ["exists"] * 19
    bench.wait(handle, JobState.SUCCEEDED)
    assert (tmp_path / "ran").read_text() == "x"
    assert not list((root / ".staging").iterdir())


def test_a_killed_node_takes_the_job_with_it_and_is_seen(bench, node, dead):
    handle = bench.start("import os; print(os.getpid(), 'ready', flush=True)\n" + FOREVER, secrets={"A": "b"})
    child = int(bench.says(handle, "ready").split()[0])
    os.kill(node(handle), signal.SIGKILL)
    if sys.platform == "linux":
        bench.until(lambda: dead(child), "end of the job's process, though nobody has looked")
    bench.gone(handle)
    status = bench.cluster.status(handle)
    assert status.reason is Reason.VANISHED
    assert "killed" in status.message
    assert status.started_at is not None
    assert bench.cluster.delete(handle)
    assert bench.cluster.status(handle).reason is Reason.NONE


def test_what_the_job_had_started_ends_with_a_killed_node(bench, node, dead):
    """The kernel ends the job's own process; whoever looks ends the others, and the secrets."""
    grandchild = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, 'ready', flush=True)\n"
    handle = bench.start(grandchild + FOREVER, secrets={"A": "b"})
    child = int(bench.says(handle, "ready").split()[0])
    os.kill(node(handle), signal.SIGKILL)
    assert not dead(child)
    bench.gone(handle)
    bench.until(lambda: bench.cluster.status(handle) and dead(child), "end of the job's grandchild")


def test_secrets_do_not_outlive_a_killed_node(bench, root, node):
    handle = bench.start(FOREVER, secrets={"A": "b"})
    bench.says(handle, "ready")
    os.kill(node(handle), signal.SIGKILL)
    bench.gone(handle)
    assert not list(root.rglob("secrets.json"))


def test_what_the_job_has_started_ends_with_it(bench, dead):
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, 'started')"
    handle = bench.start(code)
    bench.wait(handle, JobState.SUCCEEDED)
    child = int(bench.cluster.tail(handle).split()[0])
    bench.until(lambda: dead(child), "end of what was left behind")


def test_a_job_of_another_boot_is_vanished_not_running(bench, root, node):
    handle = bench.start(FOREVER)
    bench.says(handle, "ready")
    os.kill(node(handle), signal.SIGKILL)
    bench.gone(handle)
    path = root / handle.namespace / handle.k8s_name / "node.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot_id": "another"}))
    status = bench.cluster.status(handle)
    assert (status.state, status.reason) == (JobState.NOT_FOUND, Reason.VANISHED)
    assert "machine was restarted" in status.message


def test_a_machine_that_shuts_down_gives_grace_and_leaves_the_job_vanished(bench, node, tmp_path):
    saved = tmp_path / "saved"
    code = (
        "import pathlib, signal, sys\n"
        f"def save(*_): pathlib.Path({str(saved)!r}).touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
    )
    handle = bench.start(code + FOREVER)
    bench.says(handle, "ready")
    os.kill(node(handle), signal.SIGTERM)
    bench.gone(handle)
    assert saved.exists()
    assert "SIGTERM" in bench.cluster.status(handle).message


def test_a_terminal_that_goes_away_means_nothing(bench, node):
    handle = bench.start("import time; print('ready', flush=True); time.sleep(1)")
    bench.says(handle, "ready")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        os.kill(node(handle), number)
    bench.wait(handle, JobState.SUCCEEDED)


def test_the_node_reacts_to_the_end_of_the_job_at_once(bench):
    handle = bench.start("import time; time.sleep(0.2); print(time.time())")
    status = bench.wait(handle, JobState.SUCCEEDED)
    assert status.finished_at - float(bench.cluster.tail(handle)) < 0.4, "sooner than it would look by itself"


def test_a_folder_removed_by_hand_ends_the_job(bench, root, node, dead):
    handle = bench.start(FOREVER)
    bench.says(handle, "ready")
    pid = node(handle)
    (root / handle.namespace / handle.k8s_name).rename(root / "elsewhere")
    bench.until(lambda: dead(pid), "end of the node")
    assert bench.cluster.status(handle).state is JobState.NOT_FOUND


def test_drafts_of_dead_creators_are_swept_away(root):
    draft = root / ".staging" / "draft"
    draft.mkdir(parents=True)
    (draft / "secrets.json").write_text("{}")
    local_folder.sweep(root)
    assert draft.exists(), "its creator may be at work"
    local_folder.sweep(root, stale=0.0)
    assert not draft.exists()


def test_readers_never_see_a_job_go_back(bench, root):
    """Many eyes on one short life: after a terminal state comes the same one, or nothing."""
    manifest = bench.manifest("import time; time.sleep(0.2)")
    handle = bench.handle(manifest)
    seen: list[list[JobState]] = [[] for _ in range(4)]
    stop = threading.Event()

    def look(mine: list[JobState]) -> None:
        while not stop.is_set():
            state = LocalCluster(root).status(handle).state
            if not mine or mine[-1] is not state:
                mine.append(state)
            time.sleep(0.001)

    bench.cluster.create(manifest)
    readers = [threading.Thread(target=look, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.delete(handle, wait=5)
    time.sleep(0.05)
    stop.set()
    for reader in readers:
        reader.join()
    order = [JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED, JobState.NOT_FOUND]
    for mine in seen:
        assert [state for state in order if state in mine] == mine
        assert mine[-1] is JobState.NOT_FOUND


@pytest.mark.parametrize("end", ["finished", "vanished"])
def test_what_was_begun_is_never_begun_again(bench, node, tmp_path, end):
    code = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')\n"
    manifest = bench.manifest(code + (FOREVER if end == "vanished" else ""))
    handle = bench.handle(manifest)
    bench.cluster.create(manifest)
    if end == "finished":
        bench.wait(handle, JobState.SUCCEEDED)
    else:
        bench.says(handle, "ready")
        os.kill(node(handle), signal.SIGKILL)
        bench.gone(handle)
    state = bench.cluster.status(handle).state
    with pytest.raises(JobExists):
        bench.cluster.create(manifest)
    time.sleep(0.3)
    assert bench.cluster.status(handle).state is state
    assert (tmp_path / "ran").read_text() == "x"


def test_a_record_is_never_of_two_jobs(root):
    """A folder that goes and comes again while it is read is read again."""
    folder = root / "default" / "job"
    folder.parent.mkdir(parents=True)
    stop = threading.Event()
    torn = []

    def look() -> None:
        while not stop.is_set():
            record = local_record.read(folder)
            if record is not None and not record.order == record.node == record.state:
                torn.append(record)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(300):
        draft = root / "draft"
        draft.mkdir()
        for name in ("order.json", "node.json", "state.json"):
            (draft / name).write_text(json.dumps({"n": n}))
        draft.rename(folder)
        files.discard(folder)
    stop.set()
    for reader in readers:
        reader.join()
    assert not torn
