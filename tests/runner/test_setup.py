"""What can go wrong before the function runs, and what is arranged for it."""

from __future__ import annotations

import stat
import sys
import zipfile
from pathlib import Path

import pytest


def phase_of_failure(job):
    ended = job.run()
    assert ended.code == 1, ended.output
    result = job.result()
    assert result["success"] is False
    assert type(result["exception"]) is RuntimeError
    assert result["phase"] == ended.termination["phase"]
    return result["phase"], str(result["exception"])


@pytest.mark.parametrize("name", ["payload.pkl", "context.zip"])
def test_changed_objects_are_not_opened(job, name):
    argv = job.call(print, "never").freeze().frozen_argv
    expected = argv[argv.index(f"--{name.partition('.')[0]}-sha256") + 1]
    with (job.artifacts / name).open("ab") as file:
        file.write(b"!")
    phase, text = phase_of_failure(job)
    assert phase == "artifact verification"
    assert name in text
    assert expected in text
    assert job.facts(name)["sha256"] in text


def test_a_missing_object_is_named(job):
    job.call(len, "four").freeze()
    (job.artifacts / "context.zip").unlink()
    phase, text = phase_of_failure(job)
    assert phase == "artifact download"
    assert "context.zip" in text


def test_another_python_is_found_before_the_payload_is_opened(job):
    job.call(len, "four").freeze()
    (job.artifacts / "payload.pkl").unlink()
    job.environ["KINETIC_PYTHON"] = "3.8"
    phase, text = phase_of_failure(job)
    assert phase == "startup"
    assert "submitted by Python 3.8" in text
    assert "container_image=" in text


def test_a_module_that_the_job_lacks_is_named(job):
    job.call(len, "four")
    (job.artifacts / "payload.pkl").write_bytes(b"cno_such_module\nthing\n.")
    phase, text = phase_of_failure(job)
    assert phase == "payload unpickle"
    assert "no module 'no_such_module'" in text


def test_missing_flags_are_named_and_leave_nothing(job):
    job.call(len, "four")
    job.frozen_argv = [item for item in job.argv() if item != "--payload-gcs"]
    ended = job.run()
    assert ended.code == 1
    assert "--payload-gcs" in ended.output
    assert not job.has_result()
    assert job.leftovers() == []


def test_unknown_flags_are_ignored(job):
    job.flags = ["--from-the-future", "yes", "--switch"]
    assert job.call(len, "four").run().code == 0


def test_the_plan_decides_path_and_folder(job):
    def look():
        import helper

        return helper.VALUE, Path.cwd().name, sys.path, Path("rows.csv").read_text()

    files = {"lib/helper.py": "VALUE = 7", "data/rows.csv": "1,2"}
    plan = {"sys_path_rel": ["", "lib", "missing", "../.."], "client_cwd_rel": "data"}
    ended = job.context(files, plan).call(look).run()
    assert ended.code == 0, ended.output
    value, folder, path, rows = job.result()["result"]
    assert (value, folder, rows) == (7, "data", "1,2")
    assert path[0].endswith("runner.pyz")
    assert [entry.rpartition("workspace")[2] for entry in path[1:3]] == ["", "/lib"]
    assert "'../..' leaves the workspace" in ended.output


def test_an_archive_without_a_plan_keeps_the_folder(job):
    def look():
        import helper

        return helper.VALUE, str(Path.cwd())

    assert job.context({"helper.py": "VALUE = 7"}).call(look).run().code == 0
    assert job.result()["result"] == (7, str(job.scratch))


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt"])
def test_entries_that_leave_the_workspace_are_refused(job, name):
    job.context({name: "evil"}).call(len, "four")
    phase, text = phase_of_failure(job)
    assert phase == "context extract"
    assert name in text


def test_permissions_come_back_without_special_bits(job):
    def look():
        return Path("run.sh").stat().st_mode

    with zipfile.ZipFile(job.artifacts / "context.zip", "w") as archive:
        entry = zipfile.ZipInfo("run.sh")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFREG | 0o6751) << 16
        archive.writestr(entry, "#!/bin/sh")
        archive.writestr(".kinetic/plan.json", "{}")
    assert job.call(look).run().code == 0
    assert stat.S_IMODE(job.result()["result"]) == 0o751


def test_the_clients_folder_leads_to_the_workspace_while_the_job_runs(job):
    elsewhere = job.folder / "project"

    def look(path):
        return Path(path, "rows.csv").read_text()

    job.context({"rows.csv": "1,2"}).call(look, str(elsewhere), payload={"working_dir": str(elsewhere)})
    assert job.run().code == 0
    assert job.result()["result"] == "1,2"
    assert not elsewhere.is_symlink()


def test_a_folder_of_that_name_is_left_alone(job):
    there = job.folder / "project"
    there.mkdir()
    assert job.call(len, "four", payload={"working_dir": str(there)}).run().code == 0
    assert there.is_dir()
    assert not there.is_symlink()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TPU_WORKER_ID": "2", "LWS_WORKER_INDEX": "5"}, "result-worker-2.pkl"),
        ({"TPU_WORKER_ID": " ", "LWS_WORKER_INDEX": "5"}, "result-worker-5.pkl"),
        ({"TPU_WORKER_ID": "-1", "LWS_WORKER_INDEX": "5"}, "result-worker-5.pkl"),
        ({"TPU_WORKER_ID": "0"}, "result.pkl"),
    ],
)
def test_every_host_reports_its_own_failure(job, environ, name):
    job.environ.update(environ)
    ended = job.call(int, "no number").run()
    assert ended.code == 1
    assert isinstance(job.result(name)["exception"], ValueError)
    assert set(ended.termination["objects"]) == {name}


def test_only_the_first_host_has_a_value_and_records(job):
    job.environ["TPU_WORKER_ID"] = "1"
    assert job.call(len, "four").run().code == 0
    assert sorted(path.name for path in job.artifacts.iterdir()) == ["context.zip", "payload.pkl", "runner.pyz"]
    assert not job.output.exists()
