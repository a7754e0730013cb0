"""A job as the platform sees it: the real bundle, started as a real process by the real command."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from airflow_provider_kinetic.job import bootstrap, protocol
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.packaging import runner_bundle

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
BARE = (sys.executable, "-I", "-S")
"""An interpreter without any installed package."""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Ended:
    """What is left of one start."""

    code: int
    output: str
    termination: dict[str, Any] | None


@dataclass
class Job:
    """One submission: its objects, its output directory, and how to start it."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    python: Sequence[str] = BARE
    flags: list[str] = field(default_factory=list)
    job_id: str = "job-1"
    frozen_argv: list[str] | None = None
    group: bool = False
    """Start it in a session of its own."""

    def __post_init__(self) -> None:
        self.artifacts = self.folder / self.job_id
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.output = self.folder / "out"
        self.bundle = runner_bundle.build(self.artifacts / protocol.RUNNER)
        self.context({})

    def context(self, files: Mapping[str, str], plan: Mapping[str, Any] | None = None) -> Job:
        with zipfile.ZipFile(self.artifacts / protocol.CONTEXT, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
            if plan is not None:
                archive.writestr(".kinetic/plan.json", json.dumps(plan))
        return self

    def call(
        self, func: Callable[..., Any], *args: Any, payload: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Job:
        content = {"func": func, "args": args, "kwargs": kwargs, "env_vars": {}, **(payload or {})}
        (self.artifacts / protocol.PAYLOAD).write_bytes(cloudpickle.dumps(content))
        return self

    def argv(self) -> list[str]:
        def uri(name: str) -> str:
            return path_to_uri(self.artifacts / name)

        flags = [
            *("--context-gcs", uri(protocol.CONTEXT), "--payload-gcs", uri(protocol.PAYLOAD)),
            *("--result-gcs", uri(protocol.RESULT)),
            *("--payload-sha256", sha256(self.artifacts / protocol.PAYLOAD)),
            *("--context-sha256", sha256(self.artifacts / protocol.CONTEXT)),
            *self.flags,
        ]
        command = bootstrap.command(uri(protocol.RUNNER), self.bundle.sha256, flags)
        return [*self.python, *command[1:]]

    def freeze(self) -> Job:
        """Keep the command as it is now, whatever happens to the objects."""
        self.frozen_argv = self.argv()
        return self

    def env(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "TMPDIR": str(self.scratch),
            protocol.ENV_JOB_ID: self.job_id,
            protocol.ENV_OUTPUT_DIR: path_to_uri(self.output),
            protocol.ENV_PYTHON: HERE,
            protocol.ENV_TERMINATION_LOG: str(self.folder / "termination"),
            **self.environ,
        }

    @property
    def scratch(self) -> Path:
        folder = self.folder / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def start(self) -> subprocess.Popen[str]:
        (self.folder / "termination").unlink(missing_ok=True)
        return subprocess.Popen(
            self.frozen_argv or self.argv(),
            env=self.env(),
            cwd=self.scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=self.group,
        )

    def end(self, process: subprocess.Popen[str]) -> Ended:
        output, _ = process.communicate(timeout=100)
        message = self.folder / "termination"
        decoded = protocol.decode_termination(message.read_bytes()) if message.exists() else None
        return Ended(process.returncode, output, decoded)

    def run(self) -> Ended:
        return self.end(self.start())

    def result(self, name: str = protocol.RESULT) -> dict[str, Any]:
        loaded = pickle.loads((self.artifacts / name).read_bytes())
        assert isinstance(loaded, dict)
        return loaded

    def facts(self, name: str) -> dict[str, Any]:
        """As the termination message states them."""
        path = self.artifacts / name
        return {"sha256": sha256(path), "size": path.stat().st_size}

    def has_result(self, name: str = protocol.RESULT) -> bool:
        return (self.artifacts / name).exists()

    def record(self, name: str) -> dict[str, Any]:
        found = json.loads((self.output / ".kinetic" / name).read_text())
        assert isinstance(found, dict)
        return found

    def attempts(self) -> list[str]:
        return sorted(path.name for path in (self.output / ".kinetic" / "attempts").glob("*"))

    def chunks(self) -> list[Path]:
        return sorted((self.output / ".kinetic" / "jobs" / self.job_id / "logs").glob("*"))

    def log(self) -> str:
        return "".join(chunk.read_text() for chunk in self.chunks())

    def leftovers(self) -> list[str]:
        return [path.name for path in self.scratch.iterdir()]
