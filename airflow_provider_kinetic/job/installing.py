"""Requirements that a job installs when it starts, as upstream's prebuilt images do (``contract`` 4.9).

Upstream's runner knows uv alone; an image without it has pip as a rule, which is slower and does the same.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

TAIL_LINES = 20

_SETTINGS = {
    "UV_BREAK_SYSTEM_PACKAGES": "1",  # the container is the environment, also where a distribution thinks otherwise
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "UV_NO_PROGRESS": "1",
    "PIP_PROGRESS_BAR": "off",
    "NO_COLOR": "1",
}


def install(requirements: Path) -> None:
    """Install into the interpreter that runs this; the installer's output is the job's. A blank file is skipped.

    :raises RuntimeError: nothing can install, or it failed; its last lines are in the error.
    """
    if not requirements.read_text(encoding="utf-8").strip():
        return
    command = [*_installer(), "-r", str(requirements)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **_SETTINGS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with process.stdout as output:
        for line in output:
            print(line, end="", flush=True)
            last.append(line)
    if process.wait():
        name = " ".join([Path(command[0]).name, *command[1 : command.index("install") + 1]])
        raise RuntimeError(f"`{name}` ended with code {process.returncode}:\n{''.join(last)}")
    importlib.invalidate_caches()


def _installer() -> list[str]:
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    raise RuntimeError(
        "the image has no `uv`, and its Python no pip, to install the requirements with: add one of them to the image, "
        "or leave `container_image` out to have an image built that holds the requirements"
    )
