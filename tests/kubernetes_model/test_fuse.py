"""Buckets as folders: the variant FUSE of contract 3.3, with the mount rules of 11.4."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.fuse import mount_options
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.mounts import FuseMount

MOUNTS = (FuseMount("/data", "gs://first/train/"), FuseMount("/_kinetic/fuse-data/0", "gs://second"))


@pytest.mark.parametrize(
    ("uri", "is_dir", "bucket", "options"),
    [
        ("gs://b", True, "b", "implicit-dirs"),
        ("gs://b/", True, "b", "implicit-dirs"),
        ("gs://b/data", True, "b", "implicit-dirs,only-dir=data"),
        ("gs://b/data/", True, "b", "implicit-dirs,only-dir=data"),
        ("gs://b/default/data-cache/0f", True, "b", "implicit-dirs,only-dir=default/data-cache/0f"),
        ("gs://b/a,b/c,d", True, "b", r"implicit-dirs,only-dir=a\,b/c\,d"),
        ("gs://b/folder/train.csv", False, "b", "implicit-dirs,only-dir=folder"),
        ("gs://b/a/b,c/train.csv", False, "b", r"implicit-dirs,only-dir=a/b\,c"),
        ("gs://b/train.csv", False, "b", "implicit-dirs"),
    ],
)
def test_the_folder_of_the_bucket(uri: str, is_dir: bool, bucket: str, options: str) -> None:
    mount = FuseMount("/data", uri, is_dir)
    assert (mount.bucket, mount_options(mount)) == (bucket, options)


def test_a_volume_and_a_mount_each_in_order(manifest: JobManifest) -> None:
    pod = render(replace(manifest, fuse_mounts=MOUNTS))["spec"]["template"]["spec"]
    driver = "gcsfuse.csi.storage.gke.io"
    first = {"bucketName": "first", "mountOptions": "implicit-dirs,only-dir=train"}
    second = {"bucketName": "second", "mountOptions": "implicit-dirs"}
    assert pod["volumes"] == [
        {"name": "gcs-fuse-0", "csi": {"driver": driver, "volumeAttributes": first}},
        {"name": "gcs-fuse-1", "csi": {"driver": driver, "volumeAttributes": second}},
    ]
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "gcs-fuse-0", "mountPath": "/data", "readOnly": True},
        {"name": "gcs-fuse-1", "mountPath": "/_kinetic/fuse-data/0", "readOnly": True},
    ]


def test_only_pods_that_mount_are_annotated(manifest: JobManifest) -> None:
    plain, mounting = render(manifest), render(replace(manifest, fuse_mounts=MOUNTS))
    annotation = {"gke-gcsfuse/volumes": "true"}
    assert mounting["spec"]["template"]["metadata"]["annotations"] == {**manifest.annotations, **annotation}
    assert mounting["metadata"]["annotations"] == manifest.annotations
    assert plain["spec"]["template"]["metadata"]["annotations"] == manifest.annotations
    assert "volumes" not in plain["spec"]["template"]["spec"]


def test_volumes_of_the_user_come_beside_them(manifest: JobManifest) -> None:
    scratch = {"name": "scratch", "emptyDir": {}}
    pod = render(replace(manifest, fuse_mounts=MOUNTS, pod_override={"spec": {"volumes": [scratch]}}))
    assert [volume["name"] for volume in pod["spec"]["template"]["spec"]["volumes"]] == [
        "gcs-fuse-0",
        "gcs-fuse-1",
        "scratch",
    ]


@pytest.mark.parametrize(
    ("path", "uri"), [("data", "gs://b"), ("", "gs://b"), ("/data", "/home/me"), ("/data", "gs://"), ("/d", "hf://x")]
)
def test_what_cannot_be_mounted(path: str, uri: str) -> None:
    with pytest.raises(ConfigurationError, match="`volumes`"):
        FuseMount(path, uri)


def test_two_at_one_path(manifest: JobManifest) -> None:
    twice = (FuseMount("/data", "gs://first"), FuseMount("/data", "gs://second"))
    with pytest.raises(ConfigurationError, match="twice at '/data'"):
        render(replace(manifest, fuse_mounts=twice))
