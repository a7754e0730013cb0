"""``container_image="prebuilt"`` where nobody publishes images."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from installation import local_connection

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.builders.local_seal import METADATA
from airflow_provider_kinetic.model.errors import UnsupportedParameter


@pytest.fixture
def environment(airflow) -> Path:
    """The environment that a bundled image of no requirements would have, built already."""
    root = airflow.folder / "environments"
    environment = root / LocalBuilder(root).request_for("gpu", "").tag
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / METADATA).write_text(json.dumps({}))
    return environment


def test_emulation_takes_the_environment_of_the_bundled_image(project, airflow, environment):
    result = airflow.run(project.dag("environment", "images").get_task("emulated"))

    assert result.state == "success", result.log
    assert result.xcoms["kinetic_job"]["image_uri"] == f"file://{environment}"
    (warning,) = [line for line in result.log if "not honoured" in line]
    assert "container_image='prebuilt'" in warning
    assert "accelerator='l4'" in warning


def test_without_emulation_it_is_an_error_that_says_what_to_do(project, airflow):
    airflow.db.connections = local_connection(airflow.folder, emulate_accelerators=False)

    result = airflow.run(project.dag("environment", "images").get_task("refused"))

    assert result.state == "failed"
    assert isinstance(result.error, UnsupportedParameter)
    assert "container_image='prebuilt'" in result.error.summary
    assert "`container_image`" in result.error.advice
    assert "emulate_accelerators" in result.error.advice
    assert airflow.stored == []
