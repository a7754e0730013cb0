"""CPython of this machine: jobs run on any from 3.9 on, whatever Airflow runs on."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

MINORS = [f"3.{minor}" for minor in range(9, 15)]


@functools.lru_cache(maxsize=1)
def interpreters() -> list[tuple[str, str]]:
    """This one, and every other CPython from 3.9 on that this machine has: ``("3.9", path)``."""
    found = {f"3.{sys.version_info.minor}": sys.executable}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in MINORS:
        candidates = [shutil.which(f"python{minor}"), *pyenv.glob(f"versions/{minor}.*/bin/python{minor}")]
        for candidate in candidates:
            if minor not in found and candidate and works(str(candidate), minor):
                found[minor] = str(candidate)
    return sorted(found.items())


def works(python: str, minor: str) -> bool:
    probe = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    return done.stdout.split() == [minor, "cpython"]
