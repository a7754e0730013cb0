"""Several hosts are refused before anything is sent, with what runs on one."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.model.accelerators import parse
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.kubernetes.hosts import check_single_host
from airflow_provider_kinetic.model.parameters import check
from airflow_provider_kinetic.model.target import Target


@pytest.mark.parametrize(
    ("accelerator", "choices"),
    [
        ("v5e-16", "v5litepod-8, v5litepod-4, v5litepod-1, v3-4"),
        ("v4-32", "v4-4, v5litepod-8, v3-4, v5litepod-4"),
        ("v6e-8", "v5litepod-8, v3-4, v4-4, v5litepod-4"),
        ("v5p-8:spot", "v5litepod-8, v3-4, v4-4, v5litepod-4"),
    ],
)
def test_slices_of_several_hosts_name_the_nearest_of_one(accelerator: str, choices: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_single_host(parse(accelerator))
    assert refused.value.advice == f"Pass `accelerator` with one host: {choices}."
    assert accelerator in refused.value.summary
    for choice in choices.split(", "):
        check_single_host(parse(choice), "gke")


@pytest.mark.parametrize("accelerator", ["cpu", "l4x8", "a100x16", "v5litepod-8", "v3-4"])
def test_one_host_is_fine_unless_a_group_is_asked_for(accelerator: str) -> None:
    check_single_host(parse(accelerator))
    with pytest.raises(ConfigurationError, match=f"'{accelerator}' runs on one host"):
        check_single_host(parse(accelerator), "pathways")


@pytest.mark.parametrize("given", [{"accelerator": "v6e-16"}, {"accelerator": "l4", "backend": "pathways"}])
def test_operators_refuse_it_with_their_other_parameters(given: dict[str, str]) -> None:
    target = Target("gke", "kinetic_default", "gs://b", "gs://b/outputs", "gke://p/z/c")
    with pytest.raises(ConfigurationError, match="not supported yet"):
        check(target, given)
