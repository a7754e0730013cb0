"""What the user gets: an environment with what was asked for, found again by content."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_builds import built, finished

from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder, Services
from airflow_provider_kinetic.builders.cloud_build_request import Workshop
from airflow_provider_kinetic.builders.local import BASE_PACKAGES, LocalBuilder
from airflow_provider_kinetic.builders.named import NamedBuilder
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.model.errors import ConfigurationError, ImageError
from airflow_provider_kinetic.model.images import BuildOptions, BuildState, Image, ImageRequest

pytestmark = pytest.mark.usefixtures("index")

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_holds_base_packages_and_requirements(index, root: Path) -> None:
    index.add("kinetic_probe_other", {"another.py": ""})
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    image = built(builder, builder.request_for("cpu", "# mine\nkinetic_probe_other==1.0\n"))
    environment = uri_to_path(image.uri)
    assert run(environment / "bin/python", "-c", "import tiny, another, sys; print(sys.prefix)") == str(environment)
    assert run(environment / "bin/tiny-hello") == f"tiny in {environment}"
    assert (image.cached, image.build_id.startswith("cpu-")) == (False, True)
    lines = uri_to_path(image.log_url).read_text().splitlines()
    assert any("kinetic-probe-other==1.0" in line for line in lines)
    assert lines[-1].startswith(f"built {environment.name} in ")


def test_an_environment_has_the_base_interpreter_of_the_submitter(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    environment = uri_to_path(built(builder, builder.request_for("cpu", "")).uri)
    found = run(environment / "bin/python", "-c", "import sys; print(sys.base_prefix, *sys.version_info[:3])")
    assert found == " ".join([sys.base_prefix, *map(str, sys.version_info[:3])])


def test_an_environment_is_found_again_by_its_content(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    request = builder.request_for("cpu", "")
    assert builder.find(request) is None
    first = built(builder, request)
    again = LocalBuilder(root, base_packages=["kinetic_probe_tiny"]).find(request)
    assert again == Image(first.uri, cached=True)
    assert builder.uri(request) == first.uri
    assert builder.find(builder.request_for("cpu", "kinetic_probe_other\n")) is None
    assert builder.find(LocalBuilder(root, base_packages=[]).request_for("cpu", "")) is None


def test_finding_is_quick(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=[])
    request = builder.request_for("cpu", "")
    built(builder, request)
    durations = []
    for _ in range(20):
        started = time.perf_counter()
        assert builder.find(request)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.002


def test_the_environment_says_what_it_is(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    request = builder.request_for("tpu", "# nothing\n")
    image = built(builder, request)
    metadata = json.loads((uri_to_path(image.uri) / "kinetic-image.json").read_text())
    assert metadata["tag"] == request.tag
    assert metadata["build_id"] == image.build_id
    assert (metadata["packages"], metadata["requirements"], metadata["python"]) == (
        ["kinetic_probe_tiny"],
        "# nothing\n",
        RUNNING,
    )
    assert metadata["seconds"] >= 0


def test_an_environment_whose_interpreter_is_gone_is_built_again(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    request = builder.request_for("cpu", "")
    environment = uri_to_path(built(builder, request).uri)
    (environment / "bin/python").unlink()
    (environment / "bin/python").symlink_to(root / "uninstalled")
    assert builder.find(request) is None
    assert built(builder, request).cached is False
    assert run(environment / "bin/tiny-hello") == f"tiny in {environment}"


def test_the_base_is_what_the_bundled_image_holds(root: Path) -> None:
    assert BASE_PACKAGES == ("jax", "keras", "cloudpickle", "google-cloud-storage")
    with pytest.raises(ConfigurationError, match="npu"):
        LocalBuilder(root).request_for("npu", "")


@pytest.mark.parametrize("category", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("options", [BuildOptions(), BuildOptions(base_image="acme/python:3", non_root=True)])
def test_the_request_is_the_one_that_a_cloud_gets(root: Path, category: str, options: BuildOptions) -> None:
    cloud = CloudImageBuilder(
        "europe-docker.pkg.dev/acme/kn-trainer/base",
        "gs://acme-kn-trainer-jobs",
        Workshop("acme", "trainer", options),
        Services(store=None, registry=None, builds=None, look=None),  # type: ignore[arg-type]
        NamedBuilder(),
    )
    local = LocalBuilder(root, options=options)
    assert local.request_for(category, "numpy\n") == cloud.request_for(category, "numpy\n")
    ours, theirs = (each.request_for(category, "", "acme/other:1") for each in (local, cloud))
    assert ours.tag == theirs.tag
    assert cloud.uri(theirs).endswith(f":{uri_to_path(local.uri(ours)).name}")


def test_an_environment_of_another_python_under_the_same_tag_is_not_taken(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    request = builder.request_for("cpu", "", base_image="nvidia/cuda:12")
    environment = uri_to_path(built(builder, request).uri)
    metadata = json.loads((environment / "kinetic-image.json").read_text())
    (environment / "kinetic-image.json").write_text(json.dumps({**metadata, "python": "3.10"}))
    assert builder.find(request) is None
    assert built(builder, request).cached is False


def test_another_python_is_refused_with_what_is_there(root: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalBuilder(root).start(ImageRequest("cpu", "3.6", "python:3.6-slim"), log=print)
    assert "3.6" in caught.value.summary
    assert RUNNING in caught.value.summary
    assert "container_image" in caught.value.advice


def test_a_requirement_that_is_nowhere_fails_with_the_installers_words(index, root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["kinetic_probe_tiny"])
    request = builder.request_for("cpu", "kinetic-probe-late\n")
    status = finished(builder, builder.start(request, log=print))
    assert status.state is BuildState.FAILED
    assert "failed with exit code" in status.message
    assert "kinetic-probe-late" in status.log_tail
    assert len(status.log_tail.splitlines()) <= 20
    assert builder.find(request) is None
    assert not (root / request.tag).exists()
    index.add("kinetic_probe_late")
    assert built(builder, request).cached is False


def test_these_tests_reach_no_other_index(root: Path) -> None:
    builder = LocalBuilder(root, base_packages=["six"])
    status = finished(builder, builder.start(builder.request_for("cpu", ""), log=print))
    assert (status.state, "six" in status.log_tail) == (BuildState.FAILED, True)


def test_the_installer_sees_the_index_and_no_secret_of_airflow(stage, root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PROD", "postgres://user:s3cr3t@host")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "s3cr3t")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    builder = LocalBuilder(root, base_packages=["kinetic_probe_slow"])
    built(builder, builder.request_for("cpu", ""))
    (seen,) = stage.builds()
    assert "UV_FIND_LINKS=" in seen
    assert "s3cr3t" not in seen
    assert "PYTHONPATH=/nowhere" not in seen


def test_an_unwritable_root_says_where_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    builder = LocalBuilder(tmp_path / "file" / "environments", base_packages=[])
    with pytest.raises(ImageError, match="Not a directory") as caught:
        builder.start(builder.request_for("cpu", ""), log=print)
    assert str(tmp_path / "file" / "environments") in caught.value.summary


@pytest.mark.faults
def test_without_uv_it_is_installed_and_else_pip_does(index, root: Path, tmp_path: Path, monkeypatch) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", bare)
    monkeypatch.setenv("PATH", os.defpath)
    if shutil.which("uv"):
        pytest.skip("uv is part of this system")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    script = (
        "import sys; from pathlib import Path; from airflow_provider_kinetic.builders.local import LocalBuilder\n"
        "builder = LocalBuilder(Path(sys.argv[1]), base_packages=['kinetic_probe_tiny'])\n"
        "build = builder.start(builder.request_for('cpu', sys.argv[2]), log=print)\n"
        "while not (status := builder.status(build)).state.terminal:\n    __import__('time').sleep(0.05)\n"
        "print(status.log_tail, status.image.uri, sep='\\n')\n"
    )
    with_pip = run(bare / "bin/python", "-c", script, root, "# first").splitlines()
    environment = uri_to_path(with_pip[-1])
    assert with_pip[-2].endswith(" with pip")
    assert run(environment / "bin/tiny-hello") == f"tiny in {environment}"

    index.add("uv", {"uv.py": f"import os, sys\n\ndef main():\n    os.execv({uv!r}, sys.argv)\n"}, "uv = uv:main")
    with_uv = run(bare / "bin/python", "-c", script, root, "# second").splitlines()
    assert with_uv[-2].endswith(" with uv")
    assert run(uri_to_path(with_uv[-1]) / "bin/tiny-hello").startswith("tiny in ")
