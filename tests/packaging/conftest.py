"""Real projects on disk, real payloads, and a bare interpreter that opens them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from airflow_provider_kinetic.packaging.payload import Payload, write_payload
from airflow_provider_kinetic.packaging.plan import plan_for

RUN = """
import asyncio, inspect, json, pickle, sys
sys.path[:0] = json.loads(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    call = pickle.load(file)
value = call["func"](*call["args"], **call["kwargs"])
if inspect.iscoroutine(value):
    value = asyncio.run(value)
forbidden = [name for name in sys.modules if name.partition(".")[0] in ("airflow", "airflow_provider_kinetic")]
print(json.dumps({"value": value, "forbidden": forbidden}))
"""


@dataclass
class Job:
    """Packs calls and runs them in an interpreter that has cloudpickle and nothing else."""

    folder: Path
    library: Path
    warnings: list[str] = field(default_factory=list)

    def pack(
        self,
        func: Callable[..., Any],
        *args: Any,
        environ: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Payload:
        return write_payload(
            self.folder / "payload.pkl",
            func,
            args,
            kwargs,
            plan=plan_for(func, environ={}, cwd=self.folder),
            env_vars={"COLOUR": "blue"},
            environ=environ or {},
            warn=self.warnings.append,
        )

    def run(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.open(self.pack(func, *args, **kwargs))

    def open(self, payload: Payload) -> Any:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUN, str(payload.artifact.path), json.dumps([str(self.library)])],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["forbidden"] == []
        return answer["value"]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    shutil.copytree(Path(cloudpickle.__file__).parent, folder / "cloudpickle")
    return folder


@pytest.fixture
def job(tmp_path: Path, library: Path) -> Job:
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(folder, library)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    return folder


@pytest.fixture
def load(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Write files of the project and load the last one as Airflow loads a DAG file: under a made-up name."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(project))

    def load(sources: Mapping[str, str] | None = None, /, **modules: str) -> ModuleType:
        for name, source in {**(sources or {}), **{f"{name}.py": text for name, text in modules.items()}}.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        name = f"unusual_prefix_{'0' * 40}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    yield load
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(project)):
            del sys.modules[name]
