"""Data that is in a bucket or on the hub already: looked at with one request, and referred to as it was named."""

from __future__ import annotations

import pytest
from dock import Dock
from gcs_server import GcsServer

from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError


def test_a_prefix(cloud: Dock, gcs: GcsServer) -> None:
    for number in range(5):
        cloud.store.write(f"gs://acme/digits/{number}", b"")
    before = gcs.asked
    assert cloud.ship(Data("gs://acme/digits/", fuse=True)) == [DataReference("gs://acme/digits/", True, fuse=True)]
    assert gcs.asked - before == {"list": 1}


def test_a_whole_bucket(cloud: Dock) -> None:
    cloud.store.write("gs://acme/x", b"")
    assert cloud.ship(Data("gs://acme/")) == [DataReference("gs://acme/", True)]


def test_an_object(cloud: Dock, gcs: GcsServer) -> None:
    for name in ("weights.h5", "weights.h5-old", "weights.h5/part"):
        cloud.store.write(f"gs://acme/{name}", b"")
    before = gcs.asked
    assert cloud.ship(Data("gs://acme/weights.h5")) == [DataReference("gs://acme/weights.h5", False)]
    assert gcs.asked - before == {"list": 1}


def test_a_dataset_of_the_hub_is_not_looked_at(dock: Dock) -> None:
    (reference,) = dock.ship(Data("hf://mnist?split=train", hf_trust_remote_code=True))
    assert reference == DataReference("hf://mnist?split=train", True, hf_trust_remote_code=True)


def test_a_bucket_for_a_job_of_this_machine_is_the_jobs_affair(here: Dock) -> None:
    assert here.ship(Data("gs://acme/digits/")) == [DataReference("gs://acme/digits/", True)]


def test_a_prefix_with_nothing_in_it(cloud: Dock) -> None:
    cloud.store.write("gs://acme/digits-old/1", b"")
    with pytest.raises(ConfigurationError, match="argument 0: there is nothing under gs://acme/digits/"):
        cloud.ship(Data("gs://acme/digits/"))


def test_a_folder_that_a_console_has_made_has_nothing_in_it(cloud: Dock) -> None:
    cloud.store.write("gs://acme/digits/", b"")
    with pytest.raises(ConfigurationError, match="there is nothing under gs://acme/digits/"):
        cloud.ship(Data("gs://acme/digits/"))


def test_an_object_that_is_not_there(cloud: Dock) -> None:
    cloud.store.write("gs://acme/weights.h5-old", b"")
    with pytest.raises(ConfigurationError, match=r"there is no object gs://acme/weights\.h5") as caught:
        cloud.ship(Data("gs://acme/weights.h5"))
    assert "gs://acme/weights.h5/" in caught.value.advice


def test_a_prefix_without_its_slash(cloud: Dock) -> None:
    cloud.store.write("gs://acme/digits/1", b"")
    with pytest.raises(ConfigurationError) as caught:
        cloud.ship(Data("gs://acme/digits"))
    assert caught.value.advice == "It is a prefix: write gs://acme/digits/ with a slash at its end."


@pytest.mark.parametrize("uri", ["gs://acme/digits/", "gs://acme/weights.h5"])
def test_a_bucket_that_the_job_alone_may_read_is_the_jobs_affair(cloud: Dock, gcs: GcsServer, uri: str) -> None:
    """The worker's identity is not the job's. What is missing is said, for a job that finds nothing."""
    gcs.faults.denied.add("storage.objects.list")
    assert cloud.ship(Data(uri)) == [DataReference(uri, uri.endswith("/"))]
    (said,) = cloud.said
    assert said.startswith(f"argument 0: this worker cannot tell whether {uri} is there, the job will.")
    assert "storage.objects.list is missing" in said
    assert "Storage Object Viewer (roles/storage.objectViewer)" in said


def test_a_bucket_that_is_not_there(cloud: Dock) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'nowhere'"):
        cloud.ship(Data("gs://nowhere/digits/"))
