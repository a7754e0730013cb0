"""Upstream's own client and runner, the published ones, in an environment of their own.

Nothing of it is patched or imported here: ``upstream_agent`` runs in that environment as a process that does what it
is told, one JSON line at a time, because a start of the client takes seconds. What the client looks for on its machine
(``gcloud``, a key, a kubeconfig) is given as ``contract`` 14.1 says.

with Upstream.opened(cloud, identity, folder) as upstream:
    job_id = upstream.submit("add", 1, 2)
    upstream.handle(job_id, "result", cleanup=False)
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud import EMULATOR, Cloud
from identity_server import IdentityServer
from kube import Image, kubeconfig

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "interop" / "requirements.txt"
ENVIRONMENT = ROOT / ".interop"
PROJECT, ZONE, CLUSTER = "acme-tests", "us-central1-a", "kinetic-cluster"
BUCKET = f"{PROJECT}-kn-{CLUSTER}-jobs"
IMAGE = "registry.example/upstream:1"
"""Holds upstream's runner and what that needs, as the images that upstream builds."""
RUNNER = "/app/remote_runner.py"


class UpstreamError(Exception):
    """What upstream's client raised: the class's qualified name, the text, and its notes."""

    def __init__(self, kind: str, text: str, notes: list[str]) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.notes = kind, text, notes


def data(path: Path | str, **options: bool) -> dict[str, Any]:
    """Upstream's ``Data``, among the arguments or volumes of :meth:`Upstream.submit`."""
    return {"kinetic.Data": {"path": str(path), **options}}


def python() -> Path:
    """The interpreter of upstream's environment, made where it is missing or was made for other requirements."""
    ENVIRONMENT.mkdir(exist_ok=True)
    interpreter, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "ready"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != wanted:
            ready.unlink(missing_ok=True)
            uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
            run = {"check": True, "stdout": subprocess.DEVNULL}
            subprocess.run([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, ENVIRONMENT], **run)
            subprocess.run([uv, "pip", "sync", "-q", "--python", interpreter, REQUIREMENTS], **run)
            ready.write_text(wanted)
    return interpreter


def runner(interpreter: Path) -> Path:
    """Upstream's runner as it lies in its package."""
    return next(interpreter.parents[1].glob("lib/*/site-packages/kinetic/runner/remote_runner.py"))


def image(interpreter: Path, runner_file: Path | None = None) -> Image:
    """An image of upstream's, or one that holds another runner in the same place."""
    return Image(python=str(interpreter), files={RUNNER: str(runner_file or runner(interpreter))})


@dataclass
class Upstream:
    """Upstream's client on a :class:`Cloud`. ``folder`` holds its machine; user code lies in ``project``."""

    interpreter: Path
    environment: dict[str, str]
    project: Path
    _agent: subprocess.Popen[str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    printed: str = ""
    """What the client's last call has printed."""

    @classmethod
    @contextmanager
    def opened(cls, cloud: Cloud, identity: IdentityServer, folder: Path, functions: str = "") -> Iterator[Upstream]:
        """``functions``: source of the module whose functions :meth:`submit` runs as jobs."""
        interpreter = python()
        cloud.kube.images[IMAGE] = image(interpreter)
        if BUCKET not in cloud.gcs.buckets:
            cloud.add_bucket(BUCKET)
        project = folder / "project"
        project.mkdir(parents=True)
        (project / "functions.py").write_text(functions)
        environment = machine(cloud, identity, folder)
        agent = subprocess.Popen(
            [interpreter, Path(__file__).with_name("upstream_agent.py"), project],
            env=environment,
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        upstream = cls(interpreter, environment, project, agent)
        try:
            yield upstream
        finally:
            assert agent.stdin is not None
            agent.stdin.close()
            agent.wait(30)
            assert agent.stdout is not None
            agent.stdout.close()

    def call(self, do: str, **what: Any) -> Any:
        """One order to the agent; :class:`UpstreamError` where the client raised."""
        assert self._agent.stdin is not None
        assert self._agent.stdout is not None
        with self._lock:
            self._agent.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._agent.stdin.flush()
            line = self._agent.stdout.readline()
        assert line, "upstream's process has ended"
        answer = json.loads(line)
        self.printed = answer["printed"]
        if "error" in answer:
            raise UpstreamError(**answer["error"])
        try:
            return ast.literal_eval(answer["value"])
        except (ValueError, SyntaxError):
            return answer["value"]

    def submit(self, function: str, *args: Any, **run: Any) -> str:
        """``run_async`` of a function of the project; ``run``: parameters of ``kinetic.run``. Gives the job's id."""
        options = {"accelerator": "cpu", "container_image": IMAGE, **run}
        return str(self.call("submit", function=function, args=args, run=options))

    def attach(self, job_id: str) -> dict[str, Any]:
        """The fields of the handle."""
        fields = self.call("attach", job_id=job_id)
        assert isinstance(fields, dict)
        return fields

    def handle(self, job_id: str, method: str, **kwargs: Any) -> Any:
        """A method of the attached handle; clean-up is polled faster than upstream does by default."""
        return self.call("handle", job_id=job_id, method=method, kwargs=kwargs)

    def list_jobs(self) -> list[str]:
        """Job ids, in upstream's order."""
        found = self.call("list_jobs")
        assert isinstance(found, list)
        return found

    def cli(self, *words: str) -> tuple[int, str]:
        """``kinetic …`` through its own entry point, in the agent: the exit code and what it printed."""
        code = self.call("cli", words=words)
        return int(code), self.printed

    def script(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``kinetic …`` as its users start it: ten seconds and more."""
        script = self.interpreter.with_name("kinetic")
        return subprocess.run([script, *words], env=self.environment, capture_output=True, text=True, check=False)


def machine(cloud: Cloud, identity: IdentityServer, folder: Path) -> dict[str, str]:
    """Environment variables of a machine that upstream's client accepts (``contract`` 14.1)."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("gcloud", "gke-gcloud-auth-plugin"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    key = {**identity.service_account(), "project_id": PROJECT, "client_id": "1"}
    (folder / "key.json").write_text(json.dumps(key))
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "200",
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "key.json"),
        "KUBECONFIG": str(_kubeconfig(cloud, folder / "gke-kubeconfig")),
        EMULATOR: cloud.gcs.url,
        "KINETIC_PROFILES_FILE": str(folder / "absent.json"),
        "KINETIC_LOG_LEVEL": "WARNING",
        "KINETIC_PROJECT": PROJECT,
        "KINETIC_ZONE": ZONE,
        "KINETIC_CLUSTER": CLUSTER,
    }


def _kubeconfig(cloud: Cloud, path: Path) -> Path:
    """With the names that ``gcloud container clusters get-credentials`` gives."""
    name = f"gke_{PROJECT}_{ZONE}_{CLUSTER}"
    token = cloud.kube.token("upstream")
    text = json.dumps(kubeconfig.document(cloud.kube.url, cloud.kube.authority, token, "default"))
    return kubeconfig.write(path, json.loads(text.replace('"loopback"', f'"{name}"')))
