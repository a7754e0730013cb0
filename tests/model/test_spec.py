"""Whether a job is still the one that a task asks for: the digest of what was asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.spec import JobSpec

SPEC = JobSpec(func_name="train")
OTHER: dict[str, Any] = {
    "func_name": "test",
    "accelerator": "cpu",
    "spot": True,
    "result_format": "json",
    "max_preemptions": 3,
    **dict.fromkeys(("startup_timeout", "run_timeout", "stop_grace", "stall_timeout"), 7.0),
    "volumes": {"/data": Data("/x")},
    **{name: {"cpu": "1"} for name in ("env", "labels", "requests", "secret_env", "pod_override")},
}
MAY_CHANGE = {"startup_timeout", "run_timeout", "stop_grace", "stall_timeout", "max_preemptions", "labels"}


@pytest.mark.parametrize("name", [field.name for field in fields(JobSpec)])
def test_what_makes_another_job_of_it(name: str) -> None:
    changed = replace(SPEC, **{name: OTHER.get(name, "something")})

    assert (changed.digest() == SPEC.digest()) is (name in MAY_CHANGE)


def test_what_nobody_asked_for_does_not_enter_so_a_version_with_more_parameters_agrees() -> None:
    asked = {"func_name": "train", "spot": True}

    assert replace(SPEC, spot=True).digest() == hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
