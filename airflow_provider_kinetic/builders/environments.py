"""Virtual environments and the tools that fill them.

uv is some ten times faster than pip and shares one copy of JAX between all environments by hard links,
so it is worth some trouble to get: from ``PATH``, from this interpreter's packages, else from the
package index into a private environment. Where it cannot be had, that environment's pip does the work.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_provider_kinetic.builders.locks import exclusive
from airflow_provider_kinetic.model.errors import ImageError

_PRIVATE = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_")
_MISLEADING = frozenset(
    (
        *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT"),
        *("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
    )
)
REQUIREMENTS = "requirements.txt"


def interpreter_of(environment: Path) -> Path:
    """The Python of a virtual environment (POSIX layout)."""
    return environment / "bin" / "python"


@dataclass(frozen=True)
class Installer:
    """A tool as two command lines: one makes an empty environment, one installs into it."""

    name: str
    create: tuple[str, ...]
    """The environment's path comes behind."""
    install: tuple[str, ...]
    """What to install comes behind; ``{python}`` stands for the environment's interpreter."""

    def fill(self, environment: Path, packages: Sequence[str], requirements: str, run: Run) -> None:
        """Make the environment and install into it, all in one resolution.

        :raises ImageError: a command failed.
        """
        run((*self.create, str(environment)))
        listed = environment / REQUIREMENTS
        listed.write_text(requirements, encoding="utf-8")
        wanted = [*packages, *(["-r", str(listed)] if requirements.strip() else [])]
        if wanted:
            python = str(interpreter_of(environment))
            run((*(python if word == "{python}" else word for word in self.install), *wanted))


@dataclass(frozen=True)
class Run:
    """Runs installer commands; their output goes to ``log``, line by line.

    ``lock`` is the descriptor that the command holds on to. An exception that interrupts the wait ends the command.
    """

    log: Callable[[str], None]
    lock: int
    cwd: Path

    def __call__(self, command: Sequence[str]) -> None:
        process = subprocess.Popen(
            command,
            cwd=self.cwd,
            env=installer_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self.lock,),
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            with process.stdout as output:
                for line in output:
                    if text := line.rstrip():
                        self.log(text)
            process.wait()
        finally:
            _kill(process)  # only when we leave early
        if process.returncode:
            raise ImageError(f"{Path(command[0]).name} failed with exit code {process.returncode}")


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker (it says where the package index is) without what Airflow keeps secret in it."""
    return {name: value for name, value in environ.items() if not name.startswith(_PRIVATE)}


def installer_environment() -> dict[str, str]:
    """Without secrets, and without what would make an installer fill another place."""
    kept = {name: value for name, value in without_secrets(os.environ).items() if name not in _MISLEADING}
    return {**kept, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def find_installer(tools: Path, run: Run) -> Installer:
    """uv wherever it is, else uv installed by pip into ``tools``, else pip."""
    beside_this_interpreter = str(Path(sysconfig.get_path("scripts")) / "uv")
    for candidate in (shutil.which("uv"), beside_this_interpreter, str(tools / "bin" / "uv")):
        if candidate and _works(candidate):
            return _uv(candidate)
    with exclusive(tools.with_suffix(".lock"), what="the installation of uv", log=run.log) as lock:
        return _install_uv(tools, replace(run, lock=lock))


def _uv(executable: str) -> Installer:
    return Installer(
        name="uv",
        create=(executable, "venv", "--quiet", "--no-project", "--python", sys.executable),
        install=(executable, "pip", "install", "--python", "{python}"),
    )


def _pip(tools: Path) -> Installer:
    return Installer(
        name="pip",
        create=(sys.executable, "-m", "venv", "--without-pip"),
        install=(str(interpreter_of(tools)), "-m", "pip", "--python", "{python}", "install"),
    )


def _works(*command: str) -> bool:
    """A shim of a version manager may stand on PATH with nothing behind it; a private tool may be half installed."""
    try:
        return subprocess.run([*command, "--version"], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _install_uv(tools: Path, run: Run) -> Installer:
    executable = str(tools / "bin" / "uv")
    if _works(executable):
        return _uv(executable)
    run.log("uv is not on PATH: installing it with pip")
    pip = (str(interpreter_of(tools)), "-m", "pip")
    if not _works(*pip):
        run((sys.executable, "-m", "venv", "--clear", str(tools)))
    try:
        run((*pip, "install", "--quiet", "uv"))
    except ImageError:
        run.log("uv cannot be installed: going on with pip, which is slower")
        return _pip(tools)
    return _uv(executable)
