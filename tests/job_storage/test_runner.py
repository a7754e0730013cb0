"""A whole job whose objects lie in Cloud Storage, started by the real command in an interpreter without any package."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import operator
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stored_job
from gcs_server import GcsServer
from identity_server import IdentityServer
from stored_job import JOB, OUTPUT

from airflow_provider_kinetic import __version__
from airflow_provider_kinetic.job import bootstrap, protocol, tokens
from airflow_provider_kinetic.job.gcs import GcsStorage

RECORDS = f"{OUTPUT}/.kinetic"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreters() -> dict[str, str]:
    """This one, and the oldest that jobs may have where this machine has it."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    oldest = [*map(str, pyenv.glob("versions/3.9.*/bin/python3.9")), shutil.which("python3.9")][0]
    return {HERE: sys.executable, **({"3.9": oldest} if oldest else {})}


@dataclass
class Job:
    """The objects of a submission, and its command."""

    storage: GcsStorage
    folder: Path
    environ: Mapping[str, str]
    python: str = HERE

    def submit(self, function: Callable[..., Any], *args: Any) -> Job:
        self.command = stored_job.submit(self.storage, self.folder, function, *args)
        return self

    def run(self) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": os.defpath,
            "TMPDIR": str(self.folder),
            protocol.ENV_JOB_ID: "job-1",
            protocol.ENV_OUTPUT_DIR: OUTPUT,
            protocol.ENV_PYTHON: self.python,
            protocol.ENV_TERMINATION_LOG: str(self.folder / "termination"),
            **self.environ,
        }
        return subprocess.run(
            [interpreters()[self.python], "-I", "-S", *self.command[1:]],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, uri: str) -> Any:
        return json.loads(self.storage.read(uri))


@pytest.fixture
def job(storage: GcsStorage, gcs: GcsServer, tmp_path: Path) -> Job:
    return Job(storage, tmp_path, {"STORAGE_EMULATOR_HOST": gcs.url})


@pytest.mark.parametrize("python", interpreters())
def test_a_job_leaves_its_result_its_records_and_its_log(job: Job, python: str, tmp_path: Path) -> None:
    job.python = python
    ended = job.submit(operator.methodcaller("write_text", "x"), tmp_path / "touched").run()
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "touched").read_text() == "x"
    data = job.storage.read(f"{JOB}/{protocol.RESULT}")
    assert pickle.loads(data)["result"] == 1
    termination = protocol.decode_termination((tmp_path / "termination").read_bytes())
    assert termination is not None
    assert termination["objects"]["result.pkl"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert job.json(f"{RECORDS}/attempts/0001.json")["job_id"] == "job-1"
    assert job.json(f"{RECORDS}/attempts/0001.end.json")["state"] == "COMPLETED"


def test_what_the_function_prints_is_kept_in_chunks(job: Job) -> None:
    ended = job.submit(print, "one line\nanother").run()
    assert ended.returncode == 0, ended.stderr
    chunks = job.storage.list(f"{RECORDS}/jobs/job-1/logs/")
    assert b"".join(map(job.storage.read, chunks)) == b"one line\nanother\n"


def test_a_second_start_adopts_the_result(job: Job, gcs: GcsServer) -> None:
    job.submit(os.urandom, 8)
    assert job.run().returncode == 0
    generation = gcs.buckets["tests"].get("job-1/result.pkl", {}).generation
    assert job.run().returncode == 0
    assert gcs.buckets["tests"].get("job-1/result.pkl", {}).generation == generation
    assert job.json(f"{RECORDS}/attempts/0002.end.json")["reason"] == "the result of an earlier attempt was there"


def test_a_large_result_survives_a_bad_day_of_the_service(job: Job, gcs: GcsServer) -> None:
    job.submit(bytes, 20 << 20)
    gcs.fail("download")
    gcs.fail("list", retry_after=0)
    gcs.lose_reply("insert")
    gcs.fail("session")
    gcs.cut("chunk", 3 << 20)
    gcs.lose_reply("chunk")
    ended = job.run()
    assert ended.returncode == 0, ended.stderr
    assert pickle.loads(job.storage.read(f"{JOB}/{protocol.RESULT}"))["result"] == bytes(20 << 20)
    assert len(job.storage.list(f"{RECORDS}/attempts/")) == 2


@pytest.mark.parametrize("source", ["key", "federation", "metadata"])
def test_every_identity_can_start_a_job(
    job: Job, gcs: GcsServer, identity: IdentityServer, tmp_path: Path, source: str
) -> None:
    job.submit(operator.add, 40, 2)
    gcs.tokens = identity.issued
    (tmp_path / "subject").write_text("subject")
    files = {
        "key": identity.service_account(),
        "federation": identity.external_account({"file": str(tmp_path / "subject")}, impersonate=True),
    }
    (tmp_path / "credentials.json").write_text(json.dumps(files.get(source, {})))
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "credentials.json")} if source in files else {}
    job.environ = {"API_ENDPOINT_OVERRIDE": gcs.url, "GCE_METADATA_HOST": identity.host, **environ}
    ended = job.run()
    assert ended.returncode == 0, ended.stderr
    gcs.tokens = None
    assert pickle.loads(job.storage.read(f"{JOB}/{protocol.RESULT}"))["result"] == 42


def test_another_runner_than_the_submitted_one_is_not_started(job: Job) -> None:
    job.submit(operator.add, 1, 1)
    job.storage.write(f"{JOB}/{protocol.RUNNER}", b"something else")
    ended = job.run()
    assert ended.returncode == 1
    assert "is not the runner that was submitted" in ended.stderr


def test_a_runner_that_cannot_be_had_says_why(job: Job, gcs: GcsServer) -> None:
    job.submit(operator.add, 1, 1)
    gcs.faults.denied = {"storage.objects.get"}
    ended = job.run()
    assert ended.returncode == 1
    assert "kinetic: the runner could not be fetched" in ended.stderr
    assert "storage.objects.get" in ended.stderr


def test_jobs_on_files_load_no_network_code() -> None:
    script = (
        "import sys; from airflow_provider_kinetic.job import runner, storage; storage.open_storage('file:///x');"
        " sys.exit(', '.join({'http.client', 'ssl', 'urllib.request'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_stays_small() -> None:
    """It is part of every Job that a watch lists."""
    assert len(json.dumps(bootstrap.SOURCE)) < 4.5 * 1024
    assert len(bootstrap.LOCAL_SOURCE) < 2 * 1024


def test_the_command_says_what_it_is_and_carries_the_tokens_of_the_package() -> None:
    assert bootstrap.SOURCE.startswith(f"# airflow_provider_kinetic.job.bootstrap {__version__}: ")
    carried = ast.parse(bootstrap.unpacked(bootstrap.SOURCE))
    for function in _functions(ast.parse(inspect.getsource(tokens))):
        assert ast.dump(function) in {ast.dump(other) for other in _functions(carried)}, function.name


def _functions(module: ast.Module) -> list[ast.FunctionDef]:
    """Without annotations and docstrings."""
    functions = [each for each in module.body if isinstance(each, ast.FunctionDef)]
    for function in functions:
        function.returns = None
        for argument in function.args.args:
            argument.annotation = None
        if ast.get_docstring(function):
            del function.body[0]
    return functions
