"""Where data lies is computed from its content, alike by every client (contract 11.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_kinetic.job.storage import path_to_uri, uri_to_path
from airflow_provider_kinetic.model.data_layout import DataLocation
from airflow_provider_kinetic.model.errors import ConfigurationError

HASH = "0123456789abcdef" * 4


def test_names_in_a_bucket() -> None:
    place = DataLocation("gs://acme-kn-c-jobs", HASH)
    assert place.uri == f"gs://acme-kn-c-jobs/default/data-cache/{HASH}"
    assert place.marker_uri == f"gs://acme-kn-c-jobs/default/data-markers/{HASH}"
    assert place.object_uri("a/b c%#?\N{BEER MUG}") == f"{place.uri}/a/b c%#?\N{BEER MUG}"
    assert place.empty_folder_uri("a/empty") == f"{place.uri}/a/empty/"
    assert place.empty_folder_uri("") == f"{place.uri}/"


def test_names_on_disk_are_escaped_as_the_store_reads_them(tmp_path: Path) -> None:
    place = DataLocation(path_to_uri(tmp_path), HASH)
    name = "a/b c%20#?\n\N{BEER MUG}"
    assert uri_to_path(place.object_uri(name)) == tmp_path / "default/data-cache" / HASH / name


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "x" * 950, "\udcff"])
def test_what_cloud_storage_cannot_hold(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Cloud Storage cannot hold an object of this name"):
        DataLocation("gs://acme", HASH).object_uri(name)


@pytest.mark.parametrize("text", ["", "x" * 64, HASH[:-1], HASH.upper(), "../" + HASH[3:]])
def test_only_a_hash_is_a_hash(text: str) -> None:
    with pytest.raises(ValueError, match="no SHA-256"):
        DataLocation("gs://acme", text)
