"""The zip in which the runner travels (``design`` 3.4).

It holds what a job needs and nothing else: the ``job`` package, the errors that the job may raise, ``Data`` and
``KineticCheckpoint``, to which a function may refer, and the submitter's cloudpickle, so that both ends pickle alike.
Equal inputs give equal bytes: the digest is part of the job and two submitters of one version send the same file.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "airflow_provider_kinetic"

_MAIN = f"""\
import sys
from {PACKAGE}.job.runner import main
sys.exit(main(sys.argv[1:]))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16


@dataclass(frozen=True)
class RunnerBundle:
    """A finished bundle: ``sha256`` in lower-case hex, ``size`` in bytes."""

    path: Path
    sha256: str
    size: int


def build(path: Path) -> RunnerBundle:
    """Write the bundle to ``path``. Made once per process: 2 ms after the first time."""
    data = _bytes()
    path.write_bytes(data)
    return RunnerBundle(path, hashlib.sha256(data).hexdigest(), len(data))


@functools.lru_cache(maxsize=1)
def _bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as bundle:
        for name, content in sorted(_members()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _FILE_MODE
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, content)
    return buffer.getvalue()


def _members() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    own = Path(__file__).resolve().parent.parent
    for name in ("__init__.py", "model/__init__.py", "model/errors.py", "model/data.py", "model/checkpoint.py"):
        yield f"{PACKAGE}/{name}", (own / name).read_bytes()
    for file in (own / "job").rglob("*.py"):
        yield f"{PACKAGE}/{file.relative_to(own).as_posix()}", file.read_bytes()
    theirs = _cloudpickle()
    for file in theirs.rglob("*.py"):
        yield f"cloudpickle/{file.relative_to(theirs).as_posix()}", file.read_bytes()


def _cloudpickle() -> Path:
    """Found without importing it: a submission by value needs it anyway, a bundle does not."""
    spec = find_spec("cloudpickle")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("cloudpickle is not installed", name="cloudpickle")
    return Path(spec.submodule_search_locations[0])
