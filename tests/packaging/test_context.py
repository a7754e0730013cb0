"""What the project archive holds (contract 6.6)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.model.errors import InfrastructureError
from airflow_provider_kinetic.packaging.artifact import Artifact
from airflow_provider_kinetic.packaging.context import DEFAULT_EXCLUDED_FOLDERS, write_context
from airflow_provider_kinetic.packaging.plan import PackagingPlan

PLAN = ".kinetic/plan.json"


class Packer:
    def __init__(self, root: Path, target: Path) -> None:
        self.root = root
        self.target = target
        self.plan = PackagingPlan(root, "dags", None, ("", "src"), root / "dags")
        self.warnings: list[str] = []

    def write(self, **files: str) -> None:
        for name, text in files.items():
            self.file(name.replace("__", "/"), text)

    def file(self, name: str, text: str = "x") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def pack(self, **kwargs: Any) -> Artifact:
        kwargs.setdefault("environ", {})
        return write_context(self.target, self.plan, warn=self.warnings.append, **kwargs)

    def names(self, **kwargs: Any) -> list[str]:
        with zipfile.ZipFile(self.pack(**kwargs).path) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
        assert names.pop() == PLAN
        return names


@pytest.fixture
def packer(tmp_path: Path) -> Packer:
    (tmp_path / "project").mkdir()
    return Packer(tmp_path / "project", tmp_path / "context.zip")


def test_files_in_order_with_digest(packer: Packer) -> None:
    for name in ("b.py", "a/z.py", "a/y/x.py", "c"):
        packer.file(name, name)
    artifact = packer.pack()
    content = artifact.path.read_bytes()
    assert (artifact.sha256, artifact.size) == (hashlib.sha256(content).hexdigest(), len(content))
    with zipfile.ZipFile(artifact.path) as archive:
        assert archive.namelist() == ["a/y/x.py", "a/z.py", "b.py", "c", PLAN]
        assert archive.read("a/z.py") == b"a/z.py"
        assert archive.getinfo("c").compress_type == zipfile.ZIP_DEFLATED
    assert packer.warnings == []


def test_same_tree_same_bytes(packer: Packer) -> None:
    for name in ("b.py", "a/z.py"):
        packer.file(name)
    first = packer.pack()
    packer.target = packer.target.with_name("again.zip")
    assert packer.pack().sha256 == first.sha256


def test_plan_replaces_one_of_the_users(packer: Packer) -> None:
    packer.file(PLAN, "mine")
    packer.file(".kinetic/other", "kept")
    with zipfile.ZipFile(packer.pack().path) as archive:
        assert archive.namelist() == [".kinetic/other", PLAN]
        assert json.loads(archive.read(PLAN)) == {
            "package_root": str(packer.root),
            "entry_rel": "dags",
            "client_cwd_rel": None,
            "sys_path_rel": ["", "src"],
        }


def test_default_excludes(packer: Packer) -> None:
    for folder in DEFAULT_EXCLUDED_FOLDERS:
        packer.file(f"{folder}/x")
        packer.file(f"deep/{folder}/x")
    packer.file("deep/.DS_Store")
    packer.file("deep/kept")
    assert packer.names() == ["deep/kept"]
    names = packer.names(environ={"KINETIC_NO_DEFAULT_EXCLUDES": "1"})
    assert {".venv/x", "deep/node_modules/x", "deep/.DS_Store"} <= set(names)
    assert not [name for name in names if ".git/" in name or "__pycache__" in name]


def test_a_virtual_environment_stays_at_home_whatever_its_name(packer: Packer) -> None:
    packer.file("tools/env311/pyvenv.cfg")
    packer.file("tools/env311/lib/huge")
    packer.file("tools/kept")
    assert packer.names() == ["tools/kept"]
    assert "tools/env311/lib/huge" in packer.names(environ={"KINETIC_NO_DEFAULT_EXCLUDES": "1"})


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("*.csv", {"a.csv", "data/b.csv"}),
        ("data/*.csv", {"data/b.csv"}),
        ("/data/b.csv", {"data/b.csv"}),
        ("data/", {"data/b.csv", "data/raw/c.txt"}),
        ("data", {"data/b.csv", "data/raw/c.txt", "src/data"}),
        ("raw", {"data/raw/c.txt"}),
        ("[ab].csv", {"a.csv", "data/b.csv"}),
        ("# a.csv", set()),
        ("!a.csv", set()),
        ("\n  \n", set()),
        ("a.csv\ndata/raw/", {"a.csv", "data/raw/c.txt"}),
    ],
)
def test_ignore_file(packer: Packer, pattern: str, left_out: set[str]) -> None:
    everything = {"a.csv", "data/b.csv", "data/raw/c.txt", "src/data", ".kineticignore"}
    for name in everything - {".kineticignore"}:
        packer.file(name)
    packer.file(".kineticignore", pattern)
    assert {name for name in packer.names() if not name.endswith("/")} == everything - left_out


def test_given_paths_are_left_out(packer: Packer) -> None:
    for name in ("data/big.bin", "data/small.txt", "images/1.png"):
        packer.file(name)
    (packer.root / "link").symlink_to(packer.root / "images")
    exclude = [packer.root / "data" / "big.bin", packer.root / "images"]
    assert packer.names(exclude=exclude) == ["data/small.txt"]


def test_archive_inside_the_project_does_not_hold_itself(packer: Packer) -> None:
    packer.target = packer.root / "context.zip"
    packer.file("a")
    assert packer.names() == ["a"]


def test_empty_folders_are_kept(packer: Packer) -> None:
    (packer.root / "out" / "deep").mkdir(parents=True)
    packer.file("src/__pycache__/x.pyc")
    assert packer.names() == ["out/deep/", "src/"]


def test_empty_project(packer: Packer) -> None:
    assert packer.names() == []


def test_linked_folders_are_followed_once(packer: Packer, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.txt").touch()
    (tmp_path / "shared" / "back").symlink_to(packer.root)
    (packer.root / "data").symlink_to(tmp_path / "shared")
    (packer.root / "self").symlink_to(packer.root)
    (packer.root / "file.txt").symlink_to(tmp_path / "shared" / "a.txt")
    assert packer.names() == ["data/a.txt", "file.txt"]
    assert packer.warnings == []


def test_what_cannot_be_packed_is_told(packer: Packer, monkeypatch: pytest.MonkeyPatch) -> None:
    packer.file("good")
    (packer.root / "broken").symlink_to(packer.root / "nowhere")
    (packer.root / "loop").symlink_to(packer.root / "loop")
    os.mkfifo(packer.root / "pipe")
    (Path(os.fsdecode(os.fsencode(packer.root) + b"/caf\xe9"))).touch()
    with socket.socket(socket.AF_UNIX) as unix:
        monkeypatch.chdir(packer.root)
        unix.bind("sock")
    assert packer.names() == ["good"]
    assert sorted(packer.warnings) == [
        "Not packed: broken (broken link).",
        "Not packed: caf\\udce9 (its name is not UTF-8).",
        "Not packed: loop (broken link).",
        "Not packed: pipe (not a regular file).",
        "Not packed: sock (not a regular file).",
    ]


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root reads everything; nobody does not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_unreadable_file_and_folder_are_told() -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path: the folders above that are closed to others
    folder.chmod(0o777)
    try:
        packer = Packer(folder / "project", folder / "context.zip")
        packer.file("good")
        packer.file("secret").chmod(0)
        packer.file("closed/x").parent.chmod(0)
        with without_privileges():
            assert packer.names() == ["closed/", "good"]
        assert packer.warnings == [
            "Not packed: closed/ (Permission denied).",
            "Not packed: secret (Permission denied).",
        ]
    finally:
        (folder / "project" / "closed").chmod(0o700)
        shutil.rmtree(folder)


def test_times_that_archives_cannot_hold(packer: Packer) -> None:
    os.utime(packer.file("old"), (0, 0))
    os.utime(packer.file("far"), (5_000_000_000, 5_000_000_000))
    (packer.root / "empty").mkdir()
    os.utime(packer.root / "empty", (0, 0))
    with zipfile.ZipFile(packer.pack().path) as archive:
        years = {info.filename: info.date_time[0] for info in archive.filelist}
    assert years == {"empty/": 1980, "far": 2107, "old": 1980, PLAN: 1980}


def test_permissions(packer: Packer) -> None:
    packer.file("run.sh").chmod(0o755)
    packer.file("data").chmod(0o640)
    with zipfile.ZipFile(packer.pack().path) as archive:
        modes = {info.filename: (info.external_attr >> 16) & 0o777 for info in archive.filelist}
        systems = {info.create_system for info in archive.filelist}
    assert modes == {"run.sh": 0o755, "data": 0o640, PLAN: 0o644}
    assert systems == {3}


def test_secrets_are_packed_and_told(packer: Packer) -> None:
    names = [".env", ".env.local", "certs/server.pem", "id_rsa", "id_rsa.pub"]
    for name in (*names, "environment.py"):
        packer.file(name)
    assert sorted(packer.names()) == sorted([*names, "environment.py"])
    (line,) = packer.warnings
    assert all(name in line for name in names)
    assert "environment.py" not in line
    assert ".kineticignore" in line


@pytest.mark.parametrize(("limit", "told"), [("0.1", True), ("50", False), ("0", False), ("-3", False)])
def test_size_is_told_with_the_largest_files(packer: Packer, limit: str, told: bool) -> None:
    for number in range(7):
        (packer.root / f"f{number}").write_bytes(os.urandom(20_000 * (number + 1)))
    packer.pack(environ={"KINETIC_CONTEXT_SIZE_WARN_MB": limit})
    assert bool(packer.warnings) == told
    if told:
        order = [packer.warnings[0].index(f"f{number} (") for number in (6, 5, 4, 3, 2)]
        assert order == sorted(order)
        assert "f1 (" not in packer.warnings[0]


def test_limit_that_is_no_number(packer: Packer) -> None:
    packer.pack(environ={"KINETIC_CONTEXT_SIZE_WARN_MB": "lots"})
    assert packer.warnings == ["KINETIC_CONTEXT_SIZE_WARN_MB='lots' is not a number; 100 MB is used."]


def test_full_disk(packer: Packer) -> None:
    packer.target.symlink_to("/dev/full")
    (packer.root / "data").write_bytes(os.urandom(300_000))
    with pytest.raises(InfrastructureError, match="No space left"):
        packer.pack()


def test_unwritable_target(packer: Packer) -> None:
    packer.target = packer.target.parent / "missing" / "context.zip"
    with pytest.raises(InfrastructureError, match="No such file"):
        packer.pack()


def test_speed_of_two_thousand_files(packer: Packer) -> None:
    text = Path(zipfile.__file__).read_text() if Path(zipfile.__file__).name != "__init__.py" else "x = 1\n" * 9000
    for number in range(2000):
        packer.file(f"pkg{number % 40}/m{number}.py", text[number * 10 : number * 10 + 500 + number * 4])

    def plain() -> None:
        with zipfile.ZipFile(packer.target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in packer.root.rglob("*.py"):
                archive.write(path, path.relative_to(packer.root))

    def seconds(work: Any) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    ratios = [seconds(packer.pack) / seconds(plain) for _ in range(3)]
    assert min(ratios) <= 1.3


def test_plan_is_not_changed(packer: Packer) -> None:
    before = dataclasses.asdict(packer.plan)
    packer.pack()
    assert dataclasses.asdict(packer.plan) == before
