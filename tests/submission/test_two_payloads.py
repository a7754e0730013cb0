"""Data that changed between two tries of one submission: the machine mounts what is there now."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.lifecycle.consignment import Consignment
from airflow_provider_kinetic.lifecycle.parcel import Parcel
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.model.mounts import FuseMount
from airflow_provider_kinetic.packaging.artifact import HashingWriter, writing
from airflow_provider_kinetic.packaging.runner_bundle import build
from airflow_provider_kinetic.stores.local import LocalStore

ID = "job-0123456789abcdef"


def parcel(folder: Path, content: bytes) -> Parcel:
    folder.mkdir()
    made = []
    for name in (protocol.PAYLOAD, protocol.CONTEXT):
        stream: HashingWriter
        with writing(folder / name) as stream:
            stream.write(content if name == protocol.PAYLOAD else b"")
        made.append(stream.artifact(folder / name))
    return Parcel(
        *made, build(folder / protocol.RUNNER), mounts=(FuseMount("/data", f"gs://acme/{content.decode()}/"),)
    )


def handle(root: Path, parcel: Parcel) -> JobHandle:
    where = {"store_root": f"file://{root}", "output_root": f"file://{root}/outputs", "platform": "gke"}
    plain = dict.fromkeys(("backend", "project", "cluster_name", "zone", "namespace", "bucket_name", "image_uri"), "x")
    plain |= dict.fromkeys(("accelerator", "func_name", "display_name", "created_at"), "x")
    digests = {f"{name}_sha256": getattr(parcel, name).sha256 for name in ("payload", "context", "runner")}
    return JobHandle(
        job_id=ID,
        k8s_name=f"kinetic-{ID}",
        fuse_mounts=parcel.mounts,
        **plain,
        **where,
        **digests,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("left", "stands"), [(protocol.PAYLOAD, "old"), (protocol.HANDLE, "new")])
def test_what_a_try_that_died_has_left(tmp_path: Path, left: str, stands: str) -> None:
    """``left``: all that it sent. A payload names paths alone; what is mounted there says the handle."""
    store, old, new = LocalStore(), parcel(tmp_path / "old", b"old"), parcel(tmp_path / "new", b"new")
    first, second = handle(tmp_path / "store", old), handle(tmp_path / "store", new)
    Consignment(store, first, old).send()
    for name in {protocol.PAYLOAD, protocol.HANDLE, protocol.CONTEXT, protocol.RUNNER} - {left}:
        store.delete(first.artifact(name))

    settled = Consignment(store, second, new).send()

    assert store.read(settled.artifact(protocol.PAYLOAD)) == stands.encode()
    assert settled.payload_sha256 == {"old": old, "new": new}[stands].payload.sha256
    assert settled.fuse_mounts == new.mounts
    assert JobHandle.from_json(store.read(settled.artifact(protocol.HANDLE))) == settled
