"""Variables of a job: literal, from Secrets of the namespace, from the job's own Secret."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.environment import literally
from airflow_provider_kinetic.model.kubernetes.job import render
from airflow_provider_kinetic.model.kubernetes.secret import render_secret
from airflow_provider_kinetic.model.manifests import JobManifest


def container_of(manifest: JobManifest, **options: Any) -> dict[str, Any]:
    return render(manifest, **options)["spec"]["template"]["spec"]["containers"][0]


def kubernetes_reads(text: str) -> str:
    """Expansion of ``$(NAME)`` and ``$$`` by its rules, with every name known."""
    return re.sub(r"\$(\$|\([^)]*\))", lambda match: "$" if match[1] == "$" else "EXPANDED", text)


@given(st.text("$()AB \\", max_size=20))
def test_a_value_arrives_as_it_was_written(value: str) -> None:
    assert kubernetes_reads(literally(value)) == value


def test_values_are_escaped(manifest: JobManifest) -> None:
    env = container_of(replace(manifest, env={**manifest.env, "PASSWORD": "a$$b$(JOB_ID)"}))["env"]
    assert env[-1] == {"name": "PASSWORD", "value": "a$$$$b$$(JOB_ID)"}


def test_upstreams_four_come_first_in_upstreams_order(manifest: JobManifest) -> None:
    shuffled = {"A": "1", **dict(reversed(manifest.env.items()))}
    names = [variable["name"] for variable in container_of(replace(manifest, env=shuffled))["env"]]
    assert names == ["KERAS_BACKEND", "JAX_PLATFORMS", "JOB_ID", "GCS_BUCKET", "A"]


def test_variables_from_secrets_of_the_namespace(manifest: JobManifest) -> None:
    env = container_of(replace(manifest, secret_env={"HF_TOKEN": "hub/token.txt"}))["env"]
    assert env[-1] == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token.txt"}}}


@pytest.mark.parametrize("reference", ["hub", "hub/", "/key", "a/b/c", "Hub/key", ""])
def test_a_reference_that_names_no_key_is_refused(manifest: JobManifest, reference: str) -> None:
    with pytest.raises(ConfigurationError, match="`secret-name/key`"):
        render(replace(manifest, secret_env={"TOKEN": reference}))


def test_the_jobs_own_secret(manifest: JobManifest) -> None:
    assert container_of(manifest, has_secrets=True)["envFrom"] == [{"secretRef": {"name": "kinetic-job-0123abcd-env"}}]
    secret = render_secret(manifest, {"TOKEN": "s3cr€t"}, job_uid="6c1a")
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": "kinetic-job-0123abcd-env",
            "namespace": "default",
            "labels": {"app": "kinetic", "job-id": "job-0123abcd", "airflow-provider-kinetic/dag": "train"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "kinetic-job-0123abcd", "uid": "6c1a"}
            ],
        },
        "data": {"TOKEN": base64.b64encode("s3cr€t".encode()).decode()},
    }


def test_without_secrets_there_is_no_reference(manifest: JobManifest) -> None:
    assert "envFrom" not in container_of(manifest)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("MY VAR", "x", "its name"),
        ("A=B", "x", "its name"),
        ("", "x", "its name"),
        ("A", "x" * 131072, "131,074 bytes"),
        ("A", "x\0y", "zero byte"),
        ("A", "\ud800", "not Unicode"),
    ],
)
def test_what_no_process_can_have_is_refused(manifest: JobManifest, name: str, value: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`env_vars`.*{why}"):
        render(replace(manifest, env={**manifest.env, name: value}))
    with pytest.raises(ConfigurationError, match=f"`secrets`.*{why}"):
        render_secret(manifest, {name: value}, job_uid="1")


def test_an_environment_of_5_mb_is_refused(manifest: JobManifest) -> None:
    large = {f"V{n}": "x" * 100_000 for n in range(50)}
    with pytest.raises(ConfigurationError, match="arguments of the function"):
        render(replace(manifest, env={**manifest.env, **large}))


def test_a_refused_secret_is_not_shown(manifest: JobManifest) -> None:
    with pytest.raises(ConfigurationError) as refused:
        render_secret(manifest, {"A": "hunter2\0"}, job_uid="1")
    assert "hunter2" not in str(refused.value)
