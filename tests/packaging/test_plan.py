"""Which folder is packed, and what the job's ``sys.path`` and working directory become (contract 6.5)."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.packaging.plan import is_installed, plan_for

DAG = "def func(x): return x"


@pytest.fixture
def sourceless() -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "typed_into_a_prompt"}
    exec("def func(x): return x", names)
    return names["func"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("marker", ["pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", ".git"])
def test_root_is_the_nearest_project(load: Any, project: Path, marker: str) -> None:
    (project / "sub").mkdir()
    (project / "sub" / marker).touch()
    plan = plan_for(load({"sub/dags/dag.py": DAG}).func, environ={})
    assert plan.root == project / "sub"
    assert plan.entry_rel == "dags"
    assert plan.code_folder == project / "sub" / "dags"


def test_packages_are_left_upwards(load: Any, project: Path) -> None:
    (project / "pyproject.toml").unlink()
    load({"team/__init__.py": "", "team/dags/__init__.py": ""}, x="")
    plan = plan_for(load({"team/dags/dag.py": DAG}).func, environ={})
    assert (plan.root, plan.entry_rel) == (project, "team/dags")


def test_folder_without_any_project(load: Any, project: Path) -> None:
    (project / "pyproject.toml").unlink()
    plan = plan_for(load({"dags/dag.py": DAG}).func, environ={})
    assert (plan.root, plan.entry_rel) == (project / "dags", "")


def test_home_is_never_chosen(load: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    assert plan_for(load({"dags/dag.py": DAG}).func, environ={}).root == project / "dags"
    assert plan_for(load(dag=DAG).func, environ={}).root == project


def test_import_folders_and_working_directory(load: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("src", "plugins", ".venv/lib/site-packages"):
        (project / folder).mkdir(parents=True)
        monkeypatch.syspath_prepend(str(project / folder))
    monkeypatch.syspath_prepend(str(project / "missing"))
    func = load(dag=DAG).func
    plan = plan_for(func, environ={}, cwd=project / "src")
    assert plan.sys_path_rel == ("", "plugins", "src")
    assert plan.client_cwd_rel == "src"
    assert plan_for(func, environ={}, cwd=project).client_cwd_rel == ""
    assert plan_for(func, environ={}, cwd=project.parent).client_cwd_rel is None
    assert json.loads(json.dumps(plan.wire()))["sys_path_rel"] == ["", "plugins", "src"]


def test_override(load: Any, tmp_path: Path) -> None:
    func = load({"dags/dag.py": DAG}).func
    plan = plan_for(func, environ={"KINETIC_PACKAGE_ROOT": str(tmp_path)})
    assert (plan.root, plan.entry_rel) == (tmp_path, "project/dags")


@pytest.mark.parametrize("given", ["missing", "elsewhere"])
def test_override_that_does_not_fit(load: Any, tmp_path: Path, given: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigurationError, match="KINETIC_PACKAGE_ROOT") as caught:
        plan_for(load(dag=DAG).func, environ={"KINETIC_PACKAGE_ROOT": str(tmp_path / given)})
    assert "KINETIC_PACKAGE_ROOT" in caught.value.advice


def test_links_are_resolved(load: Any, project: Path, tmp_path: Path) -> None:
    """git-sync serves a repository through a link that changes with every commit."""
    (tmp_path / "current").symlink_to(project)
    func = load(dag=DAG).func
    assert plan_for(func, environ={}, cwd=tmp_path / "current").client_cwd_rel == ""
    module = sys.modules[func.__module__]
    module.__file__ = str(tmp_path / "current" / "dag.py")
    assert plan_for(func, environ={}).root == project


def test_dag_file_in_an_archive(load: Any, project: Path) -> None:
    func = load(dag=DAG).func
    (project / "dags.zip").touch()
    sys.modules[func.__module__].__file__ = str(project / "dags.zip" / "dag.py")
    assert plan_for(func, environ={}).code_folder == project


@pytest.mark.parametrize("wrap", ["partial", "method", "object", "decorated", "task"])
def test_function_is_found_under_its_wrapping(load: Any, project: Path, wrap: str) -> None:
    dag = load(
        dag="""
            import functools
            from airflow.sdk import task
            def func(x): return x
            class A:
                def method(self): ...
                def __call__(self): ...
            wrapped = functools.lru_cache(func)
            decorated = task(func)
        """
    )
    func = {
        "partial": functools.partial(functools.partial(dag.func, 1), 2),
        "method": dag.A().method,
        "object": dag.A(),
        "decorated": dag.wrapped,
        "task": dag.decorated,
    }[wrap]
    assert plan_for(func, environ={}, cwd=project.parent).root == project


def test_without_source_file_the_working_directory_is_packed(sourceless: Any, project: Path) -> None:
    (project / "work").mkdir()
    plan = plan_for(sourceless, environ={}, cwd=project / "work")
    assert (plan.root, plan.entry_rel, plan.client_cwd_rel) == (project, "work", "work")


@pytest.mark.parametrize("func", [math.sqrt, json.dumps, pytest.approx], ids=["builtin", "library", "installed"])
def test_installed_functions_count_as_without_source_file(func: Any, project: Path) -> None:
    assert plan_for(func, environ={}, cwd=project).root == project


@pytest.mark.parametrize("where", ["root", "home"])
def test_nothing_sensible_to_pack(sourceless: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"func\(\) has no source file") as caught:
        plan_for(sourceless, environ={}, cwd=Path("/") if where == "root" else tmp_path)
    assert "KINETIC_PACKAGE_ROOT" in caught.value.advice


def test_root_given_for_a_function_without_source_file(sourceless: Any, project: Path) -> None:
    environ = {"KINETIC_PACKAGE_ROOT": str(project)}
    plan = plan_for(sourceless, environ=environ, cwd=Path("/"))
    assert (plan.root, plan.code_folder, plan.client_cwd_rel) == (project, project, None)


def test_prefix_around_the_project_means_nothing() -> None:
    """Images with Python under /usr keep code in /usr/src/app or /usr/local/airflow."""
    root = Path(sys.prefix) / "src" / "app"
    assert not is_installed(root / "dag.py", root)
    assert is_installed(root / "dag.py", Path("/somewhere"))
    assert is_installed(root / "lib/site-packages/x.py", root)
    assert is_installed(json.__file__, root)
