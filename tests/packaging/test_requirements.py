"""Where requirements are found, and what is left out of them (contract 4.4, 4.5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.model.errors import RequirementsError
from airflow_provider_kinetic.packaging.requirements import discover, filter_bundled, filter_prebuilt, from_parameter

Filter = Callable[[str], str]
FILTERS = pytest.mark.parametrize("keep", [filter_bundled, filter_prebuilt])


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a repository and code two levels down."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "repo" / "dags" / "team").mkdir(parents=True)
    return tmp_path / "repo"


def test_nearest_file_wins(tree: Path) -> None:
    (tree / "requirements.txt").write_text("far\n")
    (tree / "dags" / "pyproject.toml").write_text("[project]\ndependencies = ['near>=1', 'other']\n")
    found = discover(tree / "dags" / "team")
    assert found is not None
    assert (found.text, found.source) == ("near>=1\nother\n", tree / "dags" / "pyproject.toml")


def test_requirements_txt_wins_beside_pyproject(tree: Path) -> None:
    (tree / "pyproject.toml").write_text("[project]\ndependencies = ['b']\n")
    (tree / "requirements.txt").write_text("a # comment\n\n-r other\n")
    found = discover(tree)
    assert found is not None
    assert (found.text, found.warnings) == ("a # comment\n\n-r other\n", ())


def test_folders_of_that_name_do_not_count(tree: Path) -> None:
    (tree / "dags" / "requirements.txt").mkdir()
    (tree / "requirements.txt").write_text("a\n")
    assert discover(tree / "dags").source == tree / "requirements.txt"  # type: ignore[union-attr]


@pytest.mark.parametrize("git", ["folder", "file"])
def test_search_ends_at_the_repository(tree: Path, git: str) -> None:
    (tree.parent / "requirements.txt").write_text("a\n")
    (tree / ".git").mkdir() if git == "folder" else (tree / ".git").touch()
    assert discover(tree / "dags" / "team") is None
    (tree / "requirements.txt").write_text("b\n")
    found = discover(tree / "dags" / "team")
    assert found is not None
    assert (found.text, found.warnings) == ("b\n", ())


def test_search_ends_at_home(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.parent / "requirements.txt").write_text("a\n")
    assert discover(tree) is not None
    monkeypatch.setenv("HOME", str(tree))
    assert discover(tree / "dags") is None


def test_file_from_outside_without_repository_is_told(tree: Path) -> None:
    (tree / "requirements.txt").write_text("a\n")
    found = discover(tree / "dags")
    assert found is not None
    assert str(tree / "requirements.txt") in found.warnings[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.x]\n", "project.dependencies"),
        ("[tool.poetry.dependencies]\nnumpy = '*'\n", "tool.poetry.dependencies"),
        ("[dependency-groups]\ndev = ['pytest']\n", "dependency-groups"),
        ("[project]\nname = 'x'\n[project.optional-dependencies]\na = ['b']\n", "project.optional-dependencies"),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n", "project.dynamic"),
    ],
)
def test_pyproject_without_dependencies_is_told(tree: Path, text: str, told: str) -> None:
    (tree / "pyproject.toml").write_text(text)
    found = discover(tree)
    assert found is not None
    assert found.text == ""
    assert told in found.warnings[0]


def test_pyproject_with_an_empty_list(tree: Path) -> None:
    (tree / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    assert discover(tree).warnings == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "content"), [("pyproject.toml", b"[project"), ("requirements.txt", b"\xff\xfe\xff")])
def test_unreadable_file(tree: Path, name: str, content: bytes) -> None:
    (tree / name).write_bytes(content)
    with pytest.raises(RequirementsError, match=name):
        discover(tree)


@FILTERS
@pytest.mark.parametrize(
    "line", ["jax", "JAX[tpu]==0.6", " jaxlib>=0.5", "libtpu_nightly", "Libtpu ; python_version>'3'"]
)
def test_what_the_image_brings_is_left_out(keep: Filter, line: str) -> None:
    assert keep(f"numpy\n{line}\nflax\n") == "numpy\nflax\n"


@FILTERS
@pytest.mark.parametrize(
    "line",
    [
        "jax==0.6 # kn:keep",
        "jaxtyping",
        "optax",
        "",
        "# jax",
        "--index-url https://x/simple",
        "-e git+https://x/y.git#egg=z",
    ],
)
def test_all_else_stays(keep: Filter, line: str) -> None:
    text = f"numpy\n{line}\nflax\n"
    assert keep(text) == text


def test_continued_lines() -> None:
    text = "jax==0.6 \\\n  --hash=sha256:a\nnumpy==2 \\\n  --hash=sha256:b\n"
    assert filter_bundled(text) == "numpy==2 \\\n  --hash=sha256:b\n"
    assert filter_prebuilt(text) == "numpy==2   --hash=sha256:b\n"


@FILTERS
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        *((line, "editable") for line in ("-e .", "--editable=./lib", "-e /abs")),
        *((line, "includes") for line in ("-r base.txt", "-rbase.txt", "--requirement base.txt", "-c pins.txt")),
        *((line, "includes") for line in ("--constraint=pins.txt",)),
        *((line, "local path") for line in ("file:///x.whl", "./lib", "../lib", ".", "..", ".[extra]", "/abs/x.whl")),
        *((line, "local path") for line in ("~/x", "x-1.0.whl", "dist/x-1.0.tar.gz ; os_name == 'posix'", "x.zip[a]")),
        *((line, "local path") for line in ("name @ ./lib", "name @ /abs", "name[extra] @ ../lib", "name@file:///x")),
        *((line, "local disk") for line in ("-f wheels", "--find-links=/abs", "--index-url file:///x", "-iwheels")),
        *(
            (line, "is not a requirement: Expected")
            for line in ("numpy=>1", "a b", "[project]", "a>=1 \\\n  b", "a ; x")
        ),
    ],
)
def test_what_cannot_be_installed_elsewhere_is_refused(keep: Filter, line: str, reason: str) -> None:
    with pytest.raises(RequirementsError, match=rf"^Line 3 of the requirements, .* {reason}") as caught:
        keep(f"numpy\n# x\n{line}\n")
    assert caught.value.advice


@FILTERS
@pytest.mark.parametrize(
    "line",
    [
        *("name @ https://x/y.whl", "name@https://x/y.whl", "git+https://x/y.git", "git+ssh://git@x/y.git#egg=z"),
        *("-e hg+https://x", "https://x/y.whl", "-f https://x", "--find-links=https://x", "-fhttps://x", "--pre"),
        *("https://${TOKEN}@x/y.whl", "x @ ${PLACE}/x.whl", "x==1 --hash=sha256:a --hash=sha256:b", "x # why"),
        *("x[a,b] >= 1, < 2 ; python_version > '3' # why", "x --config-settings=a=b", "x.y.zipper", "x (>=1)"),
    ],
)
def test_what_can_be_fetched_is_kept(keep: Filter, line: str) -> None:
    assert keep(f"{line}\n") == f"{line}\n"


@pytest.mark.parametrize("text", ["", "\n \n", "jax\n", "jax\n\n"])
def test_nothing_left_to_install(text: str) -> None:
    assert filter_prebuilt(text) == ""


LINES = st.lists(
    st.sampled_from(
        [
            "numpy",
            "jax",
            "jax # kn:keep",
            "",
            "# c",
            "--pre",
            "jaxlib==1 \\\n  --hash=x",
            "Flax>=1 \\\n ; os_name=='x'",
            "a-b.c",
        ]
    )
    | st.from_regex(r"[a-z]{1,4}(==[0-9])?( \\\n  --hash=[a-z]{1,3}){0,2}", fullmatch=True)
)


@FILTERS
@given(lines=LINES)
def test_filters_keep_order_and_settle(keep: Filter, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    once = keep(text)
    assert keep(once) == once
    words, rest = once.replace("\\", " ").split(), iter(text.replace("\\", " ").split())
    assert all(word in rest for word in words)  # a subsequence


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ([], ""),
        (["numpy>=2", " flax "], "numpy>=2\nflax\n"),
        (("git+https://x/y.git", "--pre"), "git+https://x/y.git\n--pre\n"),
        (["jax # kn:keep"], "jax # kn:keep\n"),
        ("requirements/train.txt", "a\n"),
        (Path("pyproject.toml"), "b\n"),
    ],
)
def test_parameter(value: object, text: str, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "train.txt").write_text("a\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['b']\n")
    assert from_parameter(value, base=tmp_path) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (["numpy", "a b c"], "Item 2"),
        (["numpy=>1"], "Item 1"),
        ([3], "int"),
        ("missing.txt", "missing.txt"),
        (".", "no file"),
    ],
)
def test_parameter_that_cannot_be_used(value: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(RequirementsError, match=named) as caught:
        from_parameter(value, base=tmp_path)  # type: ignore[arg-type]
    assert caught.value.advice


@pytest.mark.parametrize(
    "line", ["-r https://me:pw-2210@host/a.txt", "x @ https://pw-2210@host/x.whl ; no", "-f /a?https://a:pw-2210@b/"]
)
def test_what_is_refused_is_told_without_its_password(line: str) -> None:
    with pytest.raises(RequirementsError) as caught:
        filter_bundled(line)
    assert "://***@" in caught.value.summary
    assert "pw-2210" not in str(caught.value)
