"""The runner brings everything with it, and nothing that is lying around takes its place."""

from __future__ import annotations

import hashlib
import operator
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from interpreters import interpreters

import airflow_provider_kinetic
from airflow_provider_kinetic.packaging import runner_bundle


@pytest.mark.parametrize(("minor", "python"), interpreters(), ids=[minor for minor, _ in interpreters()])
def test_any_bare_interpreter_runs_it(job, minor, python):
    job.python = (python, "-I", "-S")
    job.environ["KINETIC_PYTHON"] = minor
    ended = job.call(operator.add, 40, 2).run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == 42
    assert job.record("attempts/0001.end.json")["state"] == "COMPLETED"
    assert job.leftovers() == []


def where():
    import cloudpickle

    import airflow_provider_kinetic.job

    return airflow_provider_kinetic.job.__file__, cloudpickle.__file__


IMPOSTOR = "raise RuntimeError('not me')"


@pytest.fixture
def impostors(tmp_path):
    """Another version of this package, and another cloudpickle."""
    folder = tmp_path / "elsewhere"
    for name in ("airflow_provider_kinetic/job", "airflow_provider_kinetic", "cloudpickle"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text(IMPOSTOR)
    return folder


def assert_ours(job):
    ended = job.run()
    assert ended.code == 0, ended.output
    assert all("runner.pyz" in path for path in job.result()["result"])


def test_this_package_installed_does_not_matter(job, by_value):
    job.python = (sys.executable,)
    job.call(by_value(where))
    assert_ours(job)


def test_another_version_on_the_path_does_not_matter(job, by_value, impostors):
    job.python = (sys.executable,)
    job.environ["PYTHONPATH"] = str(impostors)
    job.call(by_value(where))
    assert_ours(job)


def test_a_copy_that_was_imported_at_interpreter_start_does_not_matter(job, by_value, impostors):
    for file in impostors.rglob("__init__.py"):
        file.write_text("")
    (impostors / "sitecustomize.py").write_text("import airflow_provider_kinetic.job, cloudpickle")
    job.python = (sys.executable,)
    job.environ["PYTHONPATH"] = str(impostors)
    job.call(by_value(where))
    assert_ours(job)


def test_a_checkout_in_the_context_does_not_matter(job, by_value):
    names = (
        "airflow_provider_kinetic/__init__.py",
        "airflow_provider_kinetic/job/runner.py",
        "cloudpickle/__init__.py",
    )
    job.context(dict.fromkeys(names, IMPOSTOR), {"sys_path_rel": [""], "client_cwd_rel": ""})
    job.call(by_value(where))
    assert_ours(job)


def test_files_in_the_starting_folder_do_not_matter(job):
    for name in ("hashlib", "tempfile", "json", "dataclasses"):
        (job.scratch / f"{name}.py").write_text(IMPOSTOR)
    job.python = (sys.executable,)
    ended = job.call(len, "four").run()
    assert ended.code == 0, ended.output


def test_a_changed_runner_is_not_run(job):
    job.call(len, "four").freeze()
    with (job.artifacts / "runner.pyz").open("ab") as file:
        file.write(b"!")
    ended = job.run()
    assert ended.code == 1
    assert "is not the runner that was submitted" in ended.output
    assert job.bundle.sha256 in ended.output
    assert not job.has_result()
    assert job.leftovers() == []


def test_a_missing_runner_is_named(job):
    job.call(len, "four").freeze()
    (job.artifacts / "runner.pyz").unlink()
    ended = job.run()
    assert ended.code == 1
    assert "runner.pyz" in ended.output


def test_the_runner_may_be_deleted_while_the_job_runs(job):
    def late(path):
        Path(path).unlink()
        import airflow_provider_kinetic.model.errors as errors

        return errors.__name__

    ended = job.call(late, str(job.artifacts / "runner.pyz")).run()
    assert ended.code == 0, ended.output


def test_equal_inputs_give_equal_bytes(tmp_path):
    here = runner_bundle.build(tmp_path / "here.pyz")
    source = "import pathlib, sys; from airflow_provider_kinetic.packaging.runner_bundle import build; "
    source += "print(build(pathlib.Path(sys.argv[1])).sha256, 'cloudpickle' in sys.modules)"
    there = tmp_path / "there.pyz"
    done = subprocess.run([sys.executable, "-c", source, str(there)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [here.sha256, "False"]
    assert here.path.read_bytes() == there.read_bytes()
    assert here.sha256 == hashlib.sha256(there.read_bytes()).hexdigest()
    assert here.size == there.stat().st_size


def test_nothing_of_the_provider_but_the_job_travels(tmp_path):
    with zipfile.ZipFile(runner_bundle.build(tmp_path / "runner.pyz").path) as bundle:
        names = bundle.namelist()
    ours = {name for name in names if name.startswith("airflow_provider_kinetic/")}
    model = ("model/__init__.py", "model/errors.py", "model/data.py", "model/checkpoint.py")
    allowed = {f"airflow_provider_kinetic/{name}" for name in ("__init__.py", *model)}
    assert {name for name in ours if not name.startswith("airflow_provider_kinetic/job/")} == allowed
    assert {name.partition("/")[0] for name in names} == {"__main__.py", "airflow_provider_kinetic", "cloudpickle"}
    assert Path(airflow_provider_kinetic.__file__).name == "__init__.py"


def test_the_bundle_runs_as_a_file(job):
    job.call(len, "four")
    argv = job.argv()
    flags = argv[argv.index("--context-gcs") :]
    job.frozen_argv = [sys.executable, "-I", "-S", str(job.bundle.path), *flags]
    ended = job.run()
    assert ended.code == 0, ended.output
    assert job.result()["result"] == 4


def test_it_runs_without_a_warning(job):
    job.python = (sys.executable, "-I", "-S", "-X", "dev", "-W", "error")
    ended = job.call(len, "four").run()
    assert ended.code == 0
    assert ended.output == ""
