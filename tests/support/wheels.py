"""Wheels of a few hundred bytes, so that real installers install real packages without a network."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

TINY = "import sys\n\ndef main():\n    print('tiny in', sys.prefix)\n"


def make_wheel(folder: Path, name: str, files: dict[str, str], script: str = "") -> None:
    """A pure wheel of version 1.0; ``script`` is ``command = module:function``."""
    info = f"{name}-1.0.dist-info"
    content = dict(files)
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if script:
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script}\n"
    record = ""
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in content.items():
            wheel.writestr(path, text)


@dataclass(frozen=True)
class Index:
    """A folder of packages. Their names are such that no public index has them, should an installer ever go online."""

    folder: Path

    @classmethod
    def opened(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
        """The only packages that uv and pip find from now on: ``kinetic_probe_tiny``, and what is added."""
        packages, empty = folder / "index", folder / "empty"
        for path in (packages, empty):
            path.mkdir()
        for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
            monkeypatch.delenv(name)
        settings = {
            "UV_OFFLINE": "1",
            "UV_DEFAULT_INDEX": empty.as_uri(),
            "UV_FIND_LINKS": str(packages),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(packages),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        index = cls(packages)
        index.add("kinetic_probe_tiny", {"tiny.py": TINY}, script="tiny-hello = tiny:main")
        return index

    def add(self, name: str, files: dict[str, str] | None = None, script: str = "") -> None:
        make_wheel(self.folder, name, files or {f"{name}.py": ""}, script)
