"""What Airflow reads of the provider before it imports anything of it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import fields
from importlib import resources
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_kinetic import get_provider_info as module
from airflow_provider_kinetic.get_provider_info import get_provider_info
from airflow_provider_kinetic.hooks.connection import FIELDS
from airflow_provider_kinetic.hooks.settings import Settings, read_settings

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]


def schema(name: str) -> Any:
    return json.loads((resources.files("airflow") / name).read_text())


def test_airflow_accepts_it() -> None:
    jsonschema.Draft7Validator(schema("provider_info.schema.json")).validate(INFO)


def test_airflow_accepts_the_form() -> None:
    behaviour = {key.replace("-", "_"): value for key, value in CONNECTION["ui-field-behaviour"].items()}
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))


def test_the_entry_point_finds_it_under_the_name_of_the_distribution() -> None:
    (entry,) = (e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("airflow_provider_kin"))
    assert entry.load()() == INFO
    assert entry.dist is not None
    assert entry.dist.name.replace("_", "-") == INFO["package-name"]


def test_it_imports_nothing() -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= {"__future__", "typing"}
    code = (
        "import sys, typing; before = set(sys.modules);"
        "from airflow_provider_kinetic.get_provider_info import get_provider_info; get_provider_info();"
        "print(*(m for m in set(sys.modules) - before if m.partition('.')[0] not in sys.stdlib_module_names))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert set(loaded) == {"airflow_provider_kinetic", "airflow_provider_kinetic.get_provider_info"}


def test_the_form_has_every_field_of_the_connection() -> None:
    assert set(CONNECTION["conn-fields"]) == FIELDS
    assert CONNECTION["conn-fields"]["platform"]["schema"]["enum"] == ["gke", "kubernetes", "local"]


def test_every_option_is_read_and_has_the_same_default() -> None:
    options = INFO["config"]["kinetic"]["options"]
    assert set(options) == {field.name for field in fields(Settings)}
    assert read_settings(lambda name: options[name]["default"]) == Settings()


def dotted() -> list[str]:
    names = [CONNECTION["hook-class-name"], *INFO["extra-links"], *(d["class-name"] for d in INFO["task-decorators"])]
    modules = [
        name for kind in ("operators", "sensors", "triggers", "hooks") for name in INFO[kind][0]["python-modules"]
    ]
    return [name.rpartition(".")[0] for name in names] + modules


@pytest.mark.parametrize("name", sorted(set(dotted())))
def test_every_module_that_it_names_exists(name: str) -> None:
    assert find_spec(name) is not None


@pytest.mark.live
def test_airflow_shows_the_form_and_the_options() -> None:
    """Discovery as the API server does it, in a process of its own."""
    code = (
        "from airflow.providers_manager import ProvidersManager; from airflow.sdk import conf; m = ProvidersManager();"
        "print(sorted(k for k in m.connection_form_widgets if k.startswith('extra__kinetic__')));"
        "print(conf.getfloat('kinetic', 'poll_interval'))"
    )
    widgets, interval = subprocess.check_output([sys.executable, "-c", code], text=True).strip().splitlines()[-2:]
    assert ast.literal_eval(widgets) == sorted(f"extra__kinetic__{name}" for name in FIELDS)
    assert interval == "5.0"
