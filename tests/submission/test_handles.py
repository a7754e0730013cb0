"""The handle carries everything from step to step, and upstream's client and we read each other's."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_kinetic.model.errors import ArtifactCorrupt
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.mounts import FuseMount

UPSTREAM = {  # contract 5.2
    "job_id": "job-1a2b3c4d",
    "backend": "gke",
    "project": "my-project",
    "cluster_name": "kinetic-cluster",
    "zone": "us-central1-a",
    "namespace": "default",
    "bucket_name": "my-project-kn-kinetic-cluster-jobs",
    "k8s_name": "kinetic-job-1a2b3c4d",
    "image_uri": "us-docker.pkg.dev/my-project/kn/base:tag",
    "accelerator": "tpu-v5litepod-4",
    "func_name": "train",
    "display_name": "kinetic-train-job-1a2b3c4d",
    "created_at": "2026-01-01T00:00:00Z",
}


def full() -> JobHandle:
    """A handle in which no field has the value that it has by default."""
    others = {
        field.name: {"int": 7, "float": 7.5, "bool": True}.get(str(field.type).partition(" ")[0], f"a {field.name}")
        for field in fields(JobHandle)
    }
    return JobHandle(**{**others, **UPSTREAM, "fuse_mounts": (FuseMount("/data", "gs://acme/x/a.bin", is_dir=False),)})


def ways():
    return {
        "handle.json": lambda handle: JobHandle.from_json(handle.to_json()),
        "XCom": lambda handle: JobHandle.from_dict(json.loads(json.dumps(handle.to_dict()))),
        "trigger arguments": lambda handle: JobHandle.from_dict(deserialize(serialize(handle.to_dict()))),
    }


@pytest.mark.parametrize("way", ways())
def test_every_field_survives(way):
    handle = full()
    changed = [field.name for field in fields(JobHandle) if getattr(handle, field.name) == field.default]
    assert not changed, "the test must be able to see a field that is lost"

    assert ways()[way](handle) == handle


@pytest.mark.parametrize("way", ways())
def test_a_handle_of_upstream_survives(way):
    handle = JobHandle.from_dict(UPSTREAM)

    assert ways()[way](handle) == handle
    assert {key: value for key, value in handle.to_dict().items() if key in UPSTREAM} == UPSTREAM
    assert not handle.ours
    assert handle.root == "gs://my-project-kn-kinetic-cluster-jobs"
    assert handle.logs is None
    assert handle.result_uri == f"{handle.root}/job-1a2b3c4d/result.pkl"


def test_keys_of_a_newer_version_are_ignored():
    assert JobHandle.from_dict({**UPSTREAM, "of a later version": 1}) == JobHandle.from_dict(UPSTREAM)


@pytest.mark.parametrize("missing", UPSTREAM)
def test_a_handle_without_a_mandatory_key_is_none(missing):
    with pytest.raises(ArtifactCorrupt, match=missing):
        JobHandle.from_dict({key: value for key, value in UPSTREAM.items() if key != missing})


@pytest.mark.parametrize("raw", [b"", b"no json", b"[]", b"\xff"])
def test_other_files_are_no_handles(raw):
    with pytest.raises(ArtifactCorrupt):
        JobHandle.from_json(raw)


@pytest.mark.parametrize(("result_format", "name"), [("pickle", "result.pkl"), ("json", "result.json")])
def test_a_result_is_named_where_it_lasts(result_format, name):
    handle = replace(full(), output_dir="gs://out/d/t/r", result_format=result_format)

    assert handle.result_uri == f"gs://out/d/t/r/.kinetic/jobs/job-1a2b3c4d/{name}"
