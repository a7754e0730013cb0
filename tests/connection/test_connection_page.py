"""The table of connection fields in docs/parameters.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.hooks.connection import FIELDS, target_of
from airflow_provider_kinetic.model.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "parameters.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Connection fields\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", SECTION, re.MULTILINE)
VALUES: dict[str, Any] = {
    "max_parallel": 2,
    "emulate_accelerators": True,
    "project": "acme",
    "zone": "us-east1-b",
    "endpoint": "dns",
    "build_worker_pool": "projects/acme/locations/us-central1/workerPools/big",
    "build_timeout": 60,
    "build_layer_cache": "true",
    "build_non_root": True,
}


def test_every_field_has_its_row() -> None:
    assert {name for name, *_ in ROWS} == FIELDS


@pytest.mark.parametrize(("name", "gke", "kubernetes", "local"), ROWS)
def test_each_field_on_each_platform(name: str, gke: str, kubernetes: str, local: str) -> None:
    for platform, cell in (("gke", gke), ("kubernetes", kubernetes), ("local", local)):
        assert complaint(name, platform, emulate=False) == (None if cell == "yes" else name)
    if name != "emulate_accelerators":
        assert complaint(name, "local", emulate=True) == (None if local in ("yes", "emulated") else name)


def complaint(name: str, platform: str, *, emulate: bool) -> str | None:
    """The field that the error is about, if there is one."""
    place = "/data" if platform == "local" else "gs://data"
    value = VALUES.get(name, place if name in ("bucket", "output_root") else "name")
    extra = {"emulate_accelerators": emulate, "platform": platform}
    if name != "platform":
        extra[name] = value
    environ = {"KINETIC_PROJECT": "acme"}
    try:
        target_of(extra, kinetic_conn_id="k", environ=environ, airflow_home=Path("/home/airflow"))
    except ConfigurationError as error:
        return re.sub(r".* cannot honour the field `(\w+)`\.", r"\1", error.summary)
    return None
