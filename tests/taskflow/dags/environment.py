"""Variables of a job. What it may see, and who else may not, stands in test_environment.py and test_images.py."""

from __future__ import annotations

import hashlib
import os
import sys

from airflow.sdk import DAG, task

NAMES = ("AWS_ACCESS_KEY_ID", "BUILD_NUMBER", "COLOUR", "DATABASE", "HF_TOKEN", "PGPASSWORD", "UNRELATED")

with DAG(
    "environment",
    schedule=None,
    default_args={
        "accelerator": "cpu",
        "container_image": sys.executable,
        "cleanup": "never",
        "capture_env_vars": ["PGPASSWORD", "BUILD_*", "NOT_SET"],
        "env_vars": {"COLOUR": "blue", "AWS_ACCESS_KEY_ID": "{{ var.value.key_id }}"},
        "secrets": {"HF_TOKEN": "{{ var.value.hf_token }}", "DATABASE": "{{ var.value.database }}"},
    },
):

    @task.kinetic
    def digests():
        return {name: hashlib.md5(os.environ[name].encode()).hexdigest() for name in NAMES if name in os.environ}

    @task.kinetic
    def mapped(x):
        return [x, os.environ["HF_TOKEN"][-1]]

    digests()
    digests.override(task_id="deferred", deferrable=True)()
    mapped.expand(x=[0, 1])

with DAG("images", schedule=None):

    @task.kinetic(container_image="prebuilt", base_image_repo="ghcr.example/kinetic", accelerator="l4")
    def emulated():
        return sys.prefix

    @task.kinetic(container_image="prebuilt", accelerator="cpu")
    def refused():
        pass

    emulated()
    refused()
