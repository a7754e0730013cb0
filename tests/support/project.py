"""A user's project with Kinetic tasks in its DAG file, on a local platform of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

DAG_FILE = '''
import os
import time
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_kinetic.operators.run import KineticRunOperator


def double(value, folder):
    """Note who runs and which earlier runs are still there, wait at the gate, and answer."""
    notes = Path(folder) / "notes"
    earlier = [line.split()[0] for line in notes.read_text().splitlines()] if notes.exists() else []
    alive = [pid for pid in earlier if Path("/proc", pid).exists()]
    with notes.open("a") as out:
        print(os.getpid(), *alive, file=out)
    time.sleep(0.3)
    while (Path(folder) / "closed").exists():
        time.sleep(0.02)
    if (Path(folder) / "broken").exists():
        raise ValueError("broken")
    return 2 * value


common = dict(
    python_callable=double,
    accelerator="cpu",
    container_image={python!r},
    deferrable={deferrable!r},
    retries=1,
    stop_grace=2,
)
with DAG("twice", schedule=None) as dag:
    KineticRunOperator(task_id="double", op_args=[21, {folder!r}], **common)
    KineticRunOperator(task_id="sibling", op_args=[1, {folder!r}], **common)
    KineticRunOperator.partial(task_id="each", **common).expand(op_args=[[1, {folder!r}], [2, {folder!r}]])
'''


@dataclass(frozen=True)
class Project:
    """A DAG file in a folder of its own, beside the folder that the function writes to and the platform's folder."""

    folder: Path
    dag_file: Path
    deferrable: bool

    @classmethod
    def make(cls, folder: Path, *, deferrable: bool) -> Project:
        dag_file = folder / "dags" / "twice.py"
        dag_file.parent.mkdir(parents=True)
        (folder / "work").mkdir()
        given = {"python": sys.executable, "folder": str(folder / "work"), "deferrable": deferrable}
        text = DAG_FILE
        for name, value in given.items():
            text = text.replace(f"{{{name}!r}}", repr(value))
        dag_file.write_text(text)
        return cls(folder, dag_file, deferrable)

    @property
    def platform(self) -> Path:
        return self.folder / "kinetic"

    @property
    def runs(self) -> list[list[str]]:
        """For every call of the function: its process, and those of earlier calls that were still there."""
        notes = self.folder / "work" / "notes"
        return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

    def close(self) -> None:
        """Let the function wait."""
        (self.folder / "work" / "closed").touch()

    def open(self) -> None:
        (self.folder / "work" / "closed").unlink()

    def broken(self, broken: bool) -> None:
        (self.folder / "work" / "broken").touch() if broken else (self.folder / "work" / "broken").unlink()

    @property
    def processes(self) -> list[psutil.Process]:
        """What runs of this project's jobs."""
        return [process for process in psutil.process_iter() if str(self.platform) in _command(process)]

    @property
    def artifacts(self) -> list[str]:
        """Jobs that still have objects in the store."""
        jobs = self.platform / "jobs"
        return sorted(path.name for path in jobs.iterdir() if any(path.rglob("*"))) if jobs.exists() else []

    @property
    def pointers(self) -> list[str]:
        """Jobs that were cleaned up and can still be found by their id."""
        return [path.stem for path in (self.platform / "outputs" / ".kinetic" / "jobs").glob("*.json")]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""


def until(condition: Callable[[], object], patience: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.05)
