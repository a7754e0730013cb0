"""JAX, Orbax and Keras live in an environment of their own, `.frameworks`: tests only start processes in it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".frameworks" / "bin" / "python"
EXAMPLES = ROOT / "examples"


def environ(**more: str) -> dict[str, str]:
    """Of a process that trains: nothing of a job, the package from this checkout, one CPU device."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KINETIC", "AIRFLOW"))}
    return {**kept, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax", **more}


def has(module: str) -> bool:
    """Whether the environment has it; it is not imported."""
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([PYTHON, "-c", look], check=False).returncode == 0


class Script:
    """A process in the environment, and what it has printed."""

    def __init__(self, *arguments: str | Path, folder: Path, **env: str) -> None:
        self.log = folder / f"output-{time.monotonic_ns()}"
        with self.log.open("wb") as stream:
            command = [PYTHON, "-u", *map(str, arguments)]
            self.process = subprocess.Popen(command, cwd=folder, env=environ(**env), stdout=stream, stderr=stream)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, seconds: float = 250) -> str:
        """The whole line that holds ``text``, once it is there."""
        end = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            for line in self.output.splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line.strip()
            assert not ended, f"it ended with {self.process.returncode} and did not say {text!r}:\n{self.output}"
            assert time.monotonic() < end, f"it did not say {text!r}:\n{self.output}"
            time.sleep(0.01)

    def end(self, number: int = 0, seconds: float = 250) -> int:
        """Its exit code, after the signal of this number where one is given."""
        if number:
            self.process.send_signal(number)
        return self.process.wait(seconds)
