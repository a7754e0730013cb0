"""A package index of a few hundred bytes, so that real installers build real environments without a network.

``kinetic_probe_slow`` is a source distribution whose build backend reports to ``{stage}`` and waits while
``{stage}/hold`` exists: builds can be counted, stopped at a known point and killed there.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wheels import Index

BACKEND = """
import base64, hashlib, os, pathlib, time, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    stage = pathlib.Path(os.environ["TEST_STAGE"])
    (stage / f"build-{os.getpid()}").write_text("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
    while (stage / "hold").exists():
        time.sleep(0.02)
    name = "kinetic_probe_slow-1.0-py3-none-any.whl"
    info = "kinetic_probe_slow-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("kinetic_probe_slow.py", "ANSWER = 42\\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: kinetic_probe_slow\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\\n" for path in [*wheel.namelist(), f"{info}/RECORD"]))
    return name
"""


def make_slow_package(folder: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "kinetic_probe_slow"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "PKG-INFO": "Metadata-Version: 2.1\nName: kinetic_probe_slow\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "kinetic_probe_slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"kinetic_probe_slow-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The packages that uv and pip find, with nothing else in reach."""
    index = Index.opened(tmp_path, monkeypatch)
    make_slow_package(index.folder)
    return index


class Stage:
    """Where ``kinetic_probe_slow`` reports its builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def builds(self) -> list[str]:
        """The environment variables that each build saw."""
        return [path.read_text() for path in self.folder.glob("build-*")]

    def pids(self) -> list[int]:
        """Of the processes that build."""
        return [int(path.name.partition("-")[2]) for path in self.folder.glob("build-*")]

    def wait_for_build(self) -> None:
        self.wait_until(self.builds)

    def wait_until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("did not happen in time")
            time.sleep(0.02)


@pytest.fixture
def stage(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    assert index.folder.exists()
    folder = tmp_path / "stage"
    folder.mkdir()
    monkeypatch.setenv("TEST_STAGE", str(folder))
    yield Stage(folder)
    (folder / "hold").unlink(missing_ok=True)  # lets go of builds that a failed test left waiting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "environments"
