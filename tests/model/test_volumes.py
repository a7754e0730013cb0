"""Where data may be put into a job."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.volumes import check_volumes, normal

X = Data("gs://acme/x/")


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        ("/data", "must be a dict"),
        ([X], "must be a dict"),
        ({"data": X}, "'data' is no absolute path"),
        ({"./data": X}, "is no absolute path"),
        ({"": X}, "is no absolute path"),
        ({1: X}, "1 is no absolute path"),
        ({"C:/data": X}, "is no absolute path"),
        ({"/data:ro": X}, "has a colon"),
        ({"/da\nta": X}, "line end"),
        ({"/data/{{ ds }}": X}, "renders no keys"),
        ({"/": X}, "belongs to the system"),
        ({"//": X}, "belongs to the system"),
        ({"/data/..": X}, "belongs to the system"),
        ({"/proc/data": X}, "belongs to the system"),
        ({"/dev": X}, "belongs to the system"),
        ({"/_kinetic": X}, "belongs to Kinetic"),
        ({"/_kinetic/fuse-data/0": X}, "belongs to Kinetic"),
        ({"/data/../_kinetic/x": X}, "belongs to Kinetic"),
        ({"/data": X, "/data/": X}, "names '/data' twice"),
        ({"/data": X, "//data": X}, "names '/data' twice"),
        ({"/data/a": X, "/data": X}, "one lies in the other"),
        ({"/data": X, "/other": X, "/data/b/c": X}, "one lies in the other"),
        ({"/data": "gs://acme/x/"}, "is no Data"),
        ({"/data": None}, "is no Data"),
        ({"/data": [X]}, "is no Data"),
    ],
)
def test_what_cannot_be_meant(volumes: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_volumes(volumes)
    assert said in caught.value.summary
    assert caught.value.advice


def test_the_advice_is_what_to_write() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_volumes({"/data": "gs://acme/x/"})
    assert "Data('gs://acme/x/')" in caught.value.advice


@pytest.mark.parametrize(
    "volumes",
    [
        {},
        {"/data": X, "/data2": X, "/data-b": Data("/here"), "/.data": Data("hf://mnist")},
        {"/data/a": X, "/data/b": X},
        {"/development": X, "/_kinetics": X, "/process/sys": X},
        {"/data": Data("gs://acme/{{ ds }}/")},
        {"/mit Leerzeichen/ä": X},
    ],
)
def test_what_can(volumes: Any) -> None:
    check_volumes(volumes)


@pytest.mark.parametrize("path", ["/data", "/data/", "//data//", "/x/../data", "/./data"])
def test_a_path_has_one_name(path: str) -> None:
    assert normal(path) == "/data"
