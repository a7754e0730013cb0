"""Airflow finds the plugin, and pays nothing for it where there are no pages."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from airflow_provider_kinetic.get_provider_info import get_provider_info
from airflow_provider_kinetic.plugin import app, kinetic


def test_the_entry_point_is_the_plugin():
    (entry,) = (entry for entry in entry_points(group="airflow.plugins") if entry.name == "kinetic")

    assert entry.load() is kinetic.KineticPlugin


def test_it_is_registered_once():
    """Found twice, it is an import error in the UI, and the SDK then drops the plugins of other providers."""
    assert "plugins" not in get_provider_info()


def test_a_task_process_loads_next_to_nothing(tmp_path):
    code = (
        "import sys, airflow.sdk.plugins_manager as manager; before = set(sys.modules);"
        "found, errors = manager._get_plugins(); assert [one for one in found if one.name == 'kinetic'], errors;"
        "ours = [name for name in sys.modules if name.startswith('airflow_provider_kinetic.')];"
        "heavy = {'fastapi', 'starlette', 'jinja2'} & (set(sys.modules) - before);"
        "print(*sorted(ours), *heavy, *errors)"
    )

    # Not from the project's folder: its metadata would be found there for a second time.
    output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)

    loaded = {name.removeprefix("airflow_provider_kinetic.") for name in output.splitlines()[-1].split()}
    data = {
        "hooks.xcom",
        "model.checkpoint",
        "model.data",
        "model.errors",
        "job.exclusive",
        "job.references",
        "job.storage",
    }
    assert {name for name in loaded if "." in name} == {"links.pages", "plugin.kinetic", *data}
    assert {name for name in loaded if "." not in name} <= {
        "get_provider_info",
        "hooks",
        "job",
        "links",
        "model",
        "plugin",
    }


def test_the_templates_are_packed():
    """setup.cfg names every kind of file that is there."""
    text = (Path(__file__).parents[2] / "setup.cfg").read_text()

    assert "airflow_provider_kinetic.plugin = templates/*" in text
    assert (Path(app.__file__).parent / "templates" / "style.css").exists()
