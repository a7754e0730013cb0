"""How a job gets its runner: a few lines that any image with Python can execute.

The runner does not live in the image, so an upgrade of this provider rebuilds nothing (``design`` 3.4).
The container's command fetches the bundle, compares its digest and runs it in front of everything else
on ``sys.path``: a copy of this package in the image, of whatever version, or in the user's project must
not matter. The bundle is copied into the scratch folder because the job's objects may be deleted blindly
while it still imports from there.

The command is part of every Job and pod, so it is in every listing and every change that a watch tells of. What a
runner in Cloud Storage needs is therefore packed; :func:`unpacked` shows it.
"""

from __future__ import annotations

import ast
import base64
import pkgutil
import zlib
from collections.abc import Sequence

from airflow_provider_kinetic import __version__

_HEAD = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
"""
_IMPORTS = """\
import hashlib, os, tempfile, urllib.parse
"""

_FILE = """\
def fetch(uri):
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        with open(urllib.parse.unquote_to_bytes(rest[rest.index("/"):]), "rb") as stream:
            return stream.read()
    sys.exit(f"kinetic: no way to fetch the runner from {uri}")
"""

_GCS = """\
def fetch(uri):
    scheme, _, rest = uri.partition("://")
    if scheme != "gs":
        sys.exit(f"kinetic: no way to fetch the runner from {uri}")
    base, emulator = service(os.environ)
    headers = {} if emulator else {"Authorization": "Bearer " + fetch_token(os.environ)[0]}
    bucket, _, name = rest.partition("/")
    return call(f"{base}/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media", headers=headers)
"""

_MAIN = """\
def load(uri, expected):
    try:
        data = fetch(uri)
    except OSError as error:
        sys.exit(f"kinetic: the runner could not be fetched: {error}")
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        sys.exit(f"kinetic: {uri} is not the runner that was submitted: its SHA-256 is {found}, expected {expected}")
    scratch = tempfile.mkdtemp(prefix="kinetic-run-")
    bundle = os.path.join(scratch, "runner.pyz")
    with open(bundle, "wb") as stream:
        stream.write(data)
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("airflow_provider_kinetic", "cloudpickle"):
            del sys.modules[name]
    sys.path.insert(0, bundle)
    return scratch

arguments = sys.argv[3:]
scratch = load(*sys.argv[1:3])
del sys.argv[1:]
from airflow_provider_kinetic.job.runner import main
sys.exit(main(arguments, scratch))
"""


def _bare(source: str) -> str:
    """Code alone, without what is for readers and checkers. The same text from every Python."""
    lines = source.splitlines()
    unused = ("from __future__ ", "from typing ", "from collections.abc ")
    dropped = {number for number, line in enumerate(lines, 1) if not line.strip() or line.startswith(unused)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            dropped.update(range(node.lineno, node.end_lineno + 1))
    kept = [line.partition("  # ")[0] for number, line in enumerate(lines, 1) if number not in dropped]
    return "".join(" " * ((len(line) - len(line.lstrip())) // 4) + f"{line.lstrip()}\n" for line in kept)


def _unannotated(source: str) -> str:
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    found: list[tuple[int, int, int]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg) and node.annotation:
            found.append((node.lineno, node.col_offset + len(node.arg), node.end_col_offset or 0))
        if isinstance(node, ast.FunctionDef) and node.returns:
            found.append((node.returns.lineno, node.returns.col_offset - len(" -> "), node.returns.end_col_offset or 0))
    for number, begin, end in sorted(found, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:begin] + line[end:]
    return b"".join(lines).decode()


def _tokens() -> str:
    text = pkgutil.get_data(__package__, "tokens.py")
    assert text is not None
    return _bare(_unannotated(text.decode()))


_PACKED = f"""\
# {__name__} {__version__}: fetches the runner, checks its SHA-256, runs it.
# To read on: print() where it says exec().
{_HEAD}import base64, zlib
exec(zlib.decompress(base64.b64decode("%s")))
"""


def _packed(source: str) -> str:
    """Base64: in JSON no letter of it is escaped, as the API server does with ``<``, ``>`` and ``&``."""
    return _PACKED % base64.b64encode(zlib.compress(source.encode(), 9)).decode()


def unpacked(source: str) -> str:
    """What a packed source runs."""
    return zlib.decompress(base64.b64decode(source.rpartition("b64decode(")[2].split('"')[1])).decode()


LOCAL_SOURCE = _HEAD + _IMPORTS + _FILE + _MAIN
"""Text of ``python3 -c`` for a runner in a file."""
SOURCE = _packed(_IMPORTS + _tokens() + _GCS + _MAIN)
"""Text of ``python3 -c`` for a runner in Cloud Storage: the way to a token is the job's own, carried along."""


def command(runner_uri: str, runner_sha256: str, args: Sequence[str]) -> tuple[str, ...]:
    """The container's argv: ``args`` are the runner's own flags (contract 3.3)."""
    source = SOURCE if runner_uri.startswith("gs://") else LOCAL_SOURCE
    return ("python3", "-u", "-c", source, runner_uri, runner_sha256, *args)
