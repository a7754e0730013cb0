"""Whoever writes to the bucket, as the code of every job may, says nothing of other machines, folders and objects.

A job is often attached to by its id alone, and then its handle comes from the bucket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gcs_server import GcsServer

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import ArtifactCorrupt

BUCKET = "kinetic-tests"
OURS, THEIRS = "job-0123456789abcdef", "job-1a2b3c4d"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, connect: Any) -> Iterator[KineticHook]:
    with GcsServer(BUCKET) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        connect("kinetic_default", "kinetic", platform="kubernetes", bucket=BUCKET)
        yield KineticHook()


def handle(job_id: str, /, **changed: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "backend": "gke",
        "project": "",
        "cluster_name": "kinetic-cluster",
        "zone": "us-central1-a",
        "namespace": "default",
        "bucket_name": BUCKET,
        "k8s_name": f"kinetic-{job_id}",
        "image_uri": "image:1",
        "accelerator": "cpu",
        "func_name": "train",
        "display_name": "kinetic-train",
        "created_at": "2026-01-01T00:00:00Z",
        **({"platform": "kubernetes"} if job_id == OURS else {}),
        **changed,
    }


def put(hook: KineticHook, job_id: str, found: dict[str, Any]) -> None:
    hook.ports.store.write(f"gs://{BUCKET}/{job_id}/handle.json", json.dumps(found).encode())


@pytest.mark.parametrize(
    ("job_id", "changed"),
    [
        (OURS, {}),
        (THEIRS, {}),
        (THEIRS, {"backend": "pathways", "k8s_name": f"keras-pathways-{THEIRS}"}),
        ("my.own-id", {}),
    ],
    ids=["ours", "upstream's", "upstream's group", "another form of id"],
)
def test_what_either_client_wrote_is_read(hook: KineticHook, job_id: str, changed: dict[str, Any]) -> None:
    put(hook, job_id, handle(job_id, **changed))
    assert hook.attach(job_id).job_id == job_id


@pytest.mark.parametrize(
    "changed",
    [
        {"job_id": "outputs"},
        {"job_id": THEIRS},
        {"job_id": ""},
        {"k8s_name": "somebody-elses"},
        {"k8s_name": "kinetic-job-fedcba9876543210"},
        {"platform": "local", "store_root": "{folder}"},
        {"platform": None},
    ],
    ids=["a folder", "another job", "no job", "another object", "another job's object", "this machine", "trusted"],
)
def test_what_nobody_submitted_like_that_is_refused(hook: KineticHook, changed: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path.as_uri()
    changed = {key: value.format(folder=folder) if value else value for key, value in changed.items()}
    put(hook, OURS, handle(OURS, **changed))
    with pytest.raises(ArtifactCorrupt, match="not the handle of job job-0123456789abcdef") as caught:
        hook.attach(OURS)
    assert caught.value.advice


def test_a_clean_up_by_id_leaves_this_machine_alone(hook: KineticHook, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "wanted.py").touch()
    places = dict.fromkeys(("store_root", "cluster_uri", "output_root"), tmp_path.as_uri())
    forged = {"job_id": "dags", "platform": "local", **places}
    put(hook, OURS, handle(OURS, **forged))
    with pytest.raises(ArtifactCorrupt):
        KineticHook.of(found := hook.attach(OURS)).cleanup(found, by="a test")
    assert (tmp_path / "dags" / "wanted.py").exists()
