"""What a job in a prebuilt image installs when it starts: with uv, else with pip, and not without either."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import make_wheel

PHASE = "requirements install"
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


@pytest.fixture
def prebuilt(job, tmp_path: Path):
    """A job in an image of its own, whose installers find one package; it has neither uv nor pip."""
    packages = tmp_path / "packages"
    packages.mkdir()
    make_wheel(packages, "kinetic_probe_answer", {"kinetic_probe_answer.py": "ANSWER = 42\n"})
    image = tmp_path / "image"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(image)], check=True)
    job.python = (str(image / "bin" / "python"),)
    job.environ |= {
        **{"PATH": str(image / "bin"), "HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "uv-cache")},
        **{"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": str(packages)},
        **{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_CONFIG_FILE": os.devnull},
    }
    require(job, "kinetic_probe_answer==1.0\n")

    def answer():
        import kinetic_probe_answer

        return kinetic_probe_answer.ANSWER

    return job.call(answer)


def add_uv(job) -> None:
    """What stands on PATH here may be a script that needs more than the image has."""
    uv = Path(job.environ["PATH"]) / "uv"
    uv.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]!r} exec {UV!r} "$@"\n')
    uv.chmod(0o755)


def require(job, text: str) -> None:
    requirements = job.artifacts / "requirements.txt"
    requirements.write_text(text)
    job.flags = ["--requirements-gcs", requirements.as_uri()]


def failure(job) -> str:
    ended = job.run()
    assert ended.code == 1, ended.output
    result = job.result()
    assert result["phase"] == PHASE
    return str(result["exception"])


def test_uv_installs_them_and_its_words_are_the_jobs(prebuilt):
    add_uv(prebuilt)
    ended = prebuilt.run()
    assert ended.code == 0, ended.output
    assert prebuilt.result()["result"] == 42
    assert "kinetic-probe-answer==1.0" in ended.output


@pytest.mark.faults
def test_pip_installs_them_where_there_is_no_uv(prebuilt):
    subprocess.run([prebuilt.python[0], "-m", "ensurepip"], check=True, capture_output=True)
    ended = prebuilt.run()
    assert ended.code == 0, ended.output
    assert prebuilt.result()["result"] == 42
    assert "Successfully installed kinetic" in ended.output


def test_an_image_with_neither_says_what_to_do(prebuilt):
    said = failure(prebuilt)
    assert "no `uv`, and its Python no pip" in said
    assert "`container_image`" in said


def test_a_package_that_is_nowhere_fails_with_the_installers_words(prebuilt):
    add_uv(prebuilt)
    require(prebuilt, "kinetic-probe-nowhere\n")
    said = failure(prebuilt)
    assert "`uv pip install` ended with code 1" in said
    assert "kinetic-probe-nowhere" in said


def test_requirements_that_somebody_replaced_are_not_installed(prebuilt):
    prebuilt.flags += ["--requirements-sha256", "0" * 64]
    assert "is not the object that was submitted" in failure(prebuilt)


def test_blank_requirements_need_no_installer(prebuilt):
    require(prebuilt, "\n \n")
    assert prebuilt.call(len, "four").run().code == 0
