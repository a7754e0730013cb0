"""``container_image="prebuilt"`` on a cluster: a published image, in which the job installs what its task requires."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cloud import BUCKET
from cloud_shop import CloudShop
from wheels import make_wheel

from airflow_provider_kinetic.model.errors import ConfigurationError, RequirementsError

REPOSITORY = "europe-docker.pkg.dev/acme/images"
ANSWER = """
def f():
    note('{gate}')
    import kinetic_probe_answer
    return kinetic_probe_answer.ANSWER
"""


@pytest.fixture
def prebuilt(shop: CloudShop, tmp_path: Path) -> dict[str, Any]:
    """Parameters of a task that runs in an image of its own, and where its job finds one package."""
    packages = tmp_path / "packages"
    packages.mkdir()
    make_wheel(packages, "kinetic_probe_answer", {"kinetic_probe_answer.py": "ANSWER = 42\n"})
    python = tmp_path / "image" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python.parents[1])], check=True)
    shop.cloud.add_image(f"{REPOSITORY}/base-cpu:0.0.4", python)
    index = {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": str(packages)}
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "UV_CACHE_DIR": str(tmp_path / "cache")}
    return {"container_image": "prebuilt", "base_image_repo": REPOSITORY, "env_vars": {**index, **here}}


def arguments(shop: CloudShop) -> list[str]:
    (container,) = shop.jobs[0]["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def test_the_job_installs_what_the_task_requires(shop: CloudShop, prebuilt: dict[str, Any]) -> None:
    requirements = ["kinetic_probe_answer==1.0", "jax==0.1"]
    shop.job(ANSWER, **prebuilt, requirements=requirements, cleanup="never")

    result = shop.run()

    assert (result.state, result.value) == ("success", 42), result.log
    prefix = f"gs://{BUCKET}/{result.xcoms['job_id']}"
    assert shop.ports.store.read(f"{prefix}/requirements.txt") == b"kinetic_probe_answer==1.0\n"
    assert f"--requirements-gcs {prefix}/requirements.txt --requirements-sha256" in " ".join(arguments(shop))
    assert "kinetic-probe-answer==1.0" in "\n".join(result.log)


def test_nothing_is_stored_where_nothing_is_left_to_install(shop: CloudShop, prebuilt: dict[str, Any]) -> None:
    shop.job("def f():\n    note('{gate}')\n    return 42", **prebuilt, requirements=["jax"], cleanup="never")

    result = shop.run()

    assert (result.state, result.value) == ("success", 42), result.log
    assert "requirements" not in " ".join(arguments(shop))
    assert not [name for name in shop.cloud.objects() if name.endswith("requirements.txt")]


def test_the_connection_says_where_the_images_are(shop: CloudShop, prebuilt: dict[str, Any]) -> None:
    shop.connect(base_image_repo=prebuilt.pop("base_image_repo"), prebuilt_tag="1.2")
    python = shop.cloud.kube.images[f"{REPOSITORY}/base-cpu:0.0.4"].python
    shop.cloud.add_image(f"{REPOSITORY}/base-cpu:1.2", python)
    shop.job("def f():\n    note('{gate}')\n    return 42", **prebuilt)

    result = shop.run()

    assert (result.state, result.value) == ("success", 42), result.log
    assert result.xcoms["kinetic_job"]["image_uri"] == f"{REPOSITORY}/base-cpu:1.2"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"base_image_repo": None}, ConfigurationError, "nobody says where the prebuilt images are"),
        ({"base_image_repo": "https://acme"}, ConfigurationError, "no name of an image"),
        ({"requirements": ["numpy", "-r more.txt"]}, RequirementsError, "Line 2 of the requirements, '-r more.txt'"),
        ({"requirements": ["-e ./mine"]}, RequirementsError, "an editable install of a local folder"),
    ],
)
def test_what_cannot_be_honoured_is_found_before_anything_is_sent(
    shop: CloudShop, prebuilt: dict[str, Any], options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    shop.job("def f():\n    return 42", **{**prebuilt, **options})

    result = shop.run()

    assert isinstance(result.error, kind)
    assert said in str(result.error)
    assert (shop.jobs, shop.artifacts) == ([], [])
