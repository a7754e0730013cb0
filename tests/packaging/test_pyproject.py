"""Dependencies of a pyproject.toml: the project's, those of extras (PEP 621) and of groups (PEP 735), and Poetry's."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_kinetic.model.errors import RequirementsError
from airflow_provider_kinetic.packaging.pyproject import Selection
from airflow_provider_kinetic.packaging.requirements import discover, from_parameter

TEXT = """\
[project]
name = "Acme.Train"
dependencies = ["numpy>=2"]

[project.optional-dependencies]
Vision = ["pillow"]
text = ["tokenizers"]
all = ["acme-train[vision,text]", "tqdm", "acme_train[all]"]

[dependency-groups]
Train_GPU = ["optax", {include-group = "base"}]
base = ["flax"]
broken = [{include-group = "nowhere"}]
circle = [{include-group = "circle"}]
strange = [3]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("pyproject.toml", "numpy>=2\n"),
        ("pyproject.toml[vision]", "numpy>=2\npillow\n"),
        ("pyproject.toml[TEXT, Vision]", "numpy>=2\ntokenizers\npillow\n"),
        ("pyproject.toml[all]", "numpy>=2\npillow\ntokenizers\ntqdm\n"),
        ("pyproject.toml:train-gpu", "optax\nflax\n"),
    ],
)
def test_extras_and_groups_are_taken_where_they_are_named(folder: Path, named: str, text: str) -> None:
    assert from_parameter(named, base=folder) == text


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("pyproject.toml[audio]", r"has no extra 'audio'; it has Vision, all, text\."),
        ("pyproject.toml:audio", r"has no dependency group 'audio'; it has Train_GPU, base, broken, circle, strange\."),
        ("pyproject.toml:broken", "nowhere"),
        ("pyproject.toml:circle", "(?i)cycl"),
        ("pyproject.toml:strange", "strange"),
        ("other.toml[a]", "there is no file .*other.toml"),
    ],
)
def test_what_is_not_declared_is_told(folder: Path, named: str, told: str) -> None:
    with pytest.raises(RequirementsError, match=told) as caught:
        from_parameter(named, base=folder)
    assert caught.value.advice


@pytest.mark.parametrize(
    ("text", "what", "advice"),
    [
        ("[tool.poetry.dependencies]\nnumpy = '^2'\n", "tool.poetry.dependencies", "poetry export"),
        ("[dependency-groups]\ntrain = ['pytest']\n", "dependency-groups", "pyproject.toml:group"),
        (
            "[project]\nname = 'x'\n[project.optional-dependencies]\na = ['b']\n",
            "optional-dep",
            "pyproject.toml.extra.",
        ),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n", "project.dynamic", "requirements='requirements.txt'"),
        ("[tool.x]\n", "no `project.dependencies`", "pyproject.toml:group"),
    ],
)
def test_dependencies_that_are_elsewhere_get_a_clear_answer(tmp_path: Path, text: str, what: str, advice: str) -> None:
    """Found by itself, the file may be there for another reason, so that is a warning; named, it is an error."""
    (tmp_path / "pyproject.toml").write_text(text)
    found = discover(tmp_path)
    assert found is not None
    assert found.text == ""
    assert what in found.warnings[0]
    with pytest.raises(RequirementsError, match=what) as caught:
        from_parameter("pyproject.toml", base=tmp_path)
    assert caught.match(advice)


def test_a_group_of_poetry_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poetry.group.dev.dependencies]\nnumpy = '*'\n")
    with pytest.raises(RequirementsError, match="Poetry's own tables are not read"):
        from_parameter("pyproject.toml:dev", base=tmp_path)


@pytest.mark.parametrize("text", ["requirements.txt", "a[b].txt", "pyproject.toml[", "pyproject.toml:"])
def test_what_is_no_toml_file_is_a_plain_path(text: str) -> None:
    assert Selection.parse(text) is None
