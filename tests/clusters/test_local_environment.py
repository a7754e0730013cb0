"""What a job sees of this machine, and what others see of its secrets."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from airflow_provider_kinetic.clusters.local import LocalCluster
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.status import JobState, Reason

FOREVER = "import time; print('ready', flush=True); time.sleep(60)"


def test_nothing_of_the_worker_reaches_the_job(bench, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "private")
    monkeypatch.setenv("AIRFLOW_CONN_X", "private")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    monkeypatch.setenv("LC_TIME", "C")
    handle = bench.start("import json, os; print(json.dumps(dict(os.environ)))", env={"GIVEN": "1"})
    bench.wait(handle, JobState.SUCCEEDED)
    seen = json.loads(bench.cluster.tail(handle))
    assert (seen["GIVEN"], seen["https_proxy"], seen["LC_TIME"]) == ("1", "http://proxy:1", "C")
    assert "private" not in seen.values()
    known = {"GIVEN", "KINETIC_TERMINATION_LOG", "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    foreign = [
        n for n in seen if n not in known and not n.startswith(("LC_", "SSL_CERT_")) and "proxy" not in n.lower()
    ]
    assert not foreign


def test_the_node_holds_nothing_of_the_worker_either(bench, monkeypatch, node):
    monkeypatch.setenv("AIRFLOW_CONN_X", "private")
    handle = bench.start(FOREVER)
    bench.says(handle, "ready")
    environment = Path(f"/proc/{node(handle)}/environ")
    if not environment.exists():
        pytest.skip("no /proc")
    assert b"private" not in environment.read_bytes()


def test_secrets_are_in_one_private_file_that_goes_with_the_job(bench, root, node):
    handle = bench.start(FOREVER, secrets={"TOKEN": "s3cret-value"})
    bench.says(handle, "ready")
    folder = root / handle.namespace / handle.k8s_name
    secrets = folder / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    others = [path for path in root.rglob("*") if path.is_file() and path != secrets]
    assert others
    assert not [path for path in others if "s3cret-value" in path.read_text(errors="replace")]
    if Path("/proc/self/cmdline").exists():
        child = json.loads((folder / "state.json").read_text())["group"]
        for pid in (child, node(handle)):
            assert b"s3cret-value" not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("code", ["pass", "raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)"])
def test_secrets_do_not_outlive_the_process(bench, root, code):
    handle = bench.start(code, secrets={"TOKEN": "s3cret"})
    bench.until(lambda: bench.cluster.status(handle).state.terminal, "end")
    assert not list(root.rglob("secrets.json"))


def test_files_of_the_job_have_the_usual_rights(bench, tmp_path):
    before = os.umask(0o022)
    try:
        handle = bench.start(f"open({str(tmp_path / 'output')!r}, 'w').close()")
    finally:
        os.umask(before)
    bench.wait(handle, JobState.SUCCEEDED)
    assert stat.S_IMODE((tmp_path / "output").stat().st_mode) == 0o644


def test_an_image_is_a_virtual_environment(bench, tmp_path):
    """``python3`` is its interpreter and its programs come first on the path."""
    environment = tmp_path / "my env"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    handle = bench.start(
        "import os, sys; print(sys.prefix); print(os.environ['PATH'].split(':')[0])", image=environment.as_uri()
    )
    bench.wait(handle, JobState.SUCCEEDED)
    assert bench.cluster.tail(handle).splitlines() == [str(environment), str(environment / "bin")]


def test_an_image_that_is_not_there_is_said_to_be_missing(bench, tmp_path):
    handle = bench.start("pass", image=(tmp_path / "none").as_uri())
    status = bench.wait(handle, JobState.FAILED)
    assert status.reason is Reason.IMAGE
    assert str(tmp_path / "none") in status.message


def test_the_interpreter_can_be_chosen_by_the_builder(bench, root):
    bench.cluster = LocalCluster(root, interpreter=lambda image: Path(sys.executable) if image == "tag" else Path("/"))
    bench.wait(bench.start("pass", image="tag"), JobState.SUCCEEDED)


def test_an_image_of_a_registry_is_refused(bench):
    with pytest.raises(ClusterError, match="container_image"):
        bench.start("pass", image="registry/image:tag")


@pytest.mark.parametrize("name", ["../escape", ".hidden", "", "a/b", "x" * 200])
def test_a_name_stays_below_the_root(bench, name):
    with pytest.raises(ClusterError):
        bench.cluster.create(bench.manifest("pass", namespace=name))


def test_a_root_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="`bucket`"):
        LocalCluster(tmp_path / "file" / "root").check()


def test_creating_below_an_impossible_root_is_the_clusters_error(bench, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="could not be created"):
        LocalCluster(tmp_path / "file" / "root").create(bench.manifest("pass"))


def test_check_knows_the_limit(root):
    assert "at most 3 jobs" in LocalCluster(root, max_parallel=3).check()
