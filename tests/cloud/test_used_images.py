"""Which images the jobs of a cluster need: what is pruned must not be among them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cloud import IMAGE
from cloud_shop import PATIENCE, CloudShop
from project import until

from airflow_provider_kinetic.hooks.images import used_images
from airflow_provider_kinetic.hooks.kinetic import KineticHook

OTHER = "europe-docker.pkg.dev/acme/kn-trainer/base:cpu-0123456789ab"


def test_images_of_jobs_that_are_not_over_are_in_use_in_every_namespace(
    shop: CloudShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"

    def wait(gate: str) -> None:
        while not Path(gate).exists():
            time.sleep(0.02)

    shop.cloud.kube.images[OTHER] = shop.cloud.kube.images[IMAGE]
    monkeypatch.chdir(tmp_path)  # nothing else is packed
    first = KineticHook().submit(wait, (str(gate),), accelerator="cpu", container_image=IMAGE)
    shop.cloud.kube.add_namespace("team")
    shop.connect(namespace="team")
    second = KineticHook().submit(wait, (str(gate),), accelerator="cpu", container_image=OTHER)
    pending = KineticHook().submit(wait, (str(gate),), accelerator="l4", container_image=OTHER)

    used = {image: set(jobs) for image, jobs in used_images(KineticHook()).items()}
    gate.touch()

    assert used == {IMAGE: {first.job_id}, OTHER: {second.job_id, pending.job_id}}
    until(lambda: used_images(KineticHook()) == {OTHER: (pending.job_id,)}, PATIENCE)
