"""A parameter that the platform cannot honour is an error, never ignored."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.model import parameters
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import AcceleratorError, ConfigurationError, UnsupportedParameter
from airflow_provider_kinetic.model.parameters import EMULATED, SUPPORT
from airflow_provider_kinetic.model.target import Platform, Target

PLATFORMS: tuple[Platform, ...] = ("gke", "kubernetes", "local")
PAGE = Path(__file__).parents[2] / "docs" / "parameters.md"
AMOUNTS = ("startup_timeout", "run_timeout", "stop_grace", "stall_timeout", "max_preemptions")
VALUES: dict[str, Any] = {
    "accelerator": "cpu",
    "backend": "gke",
    "capture_env_vars": ["HOME"],
    "labels": {"team": "vision"},
    "requests": {"cpu": "1"},
    "secret_env": {"TOKEN": "hub/token"},
    "pod_override": {"spec": {"hostNetwork": True}},
    "volumes": {"/data": Data("gs://acme/digits/")},
    **dict.fromkeys(AMOUNTS, 1),
}


def check(platform: Platform, given: dict[str, Any], *, emulate_accelerators: bool = False) -> list[str]:
    target = Target(platform, "k", "file:///b", "file:///o", "file:///c", emulate_accelerators=emulate_accelerators)
    return parameters.check(target, given)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", SUPPORT)
def test_each_parameter_on_each_platform(name: str, platform: Platform) -> None:
    given = {name: VALUES.get(name, "something")}
    if platform in SUPPORT[name]:
        assert check(platform, given) == []
        return
    with pytest.raises(UnsupportedParameter, match=f"'{platform}'.*`{name}`") as caught:
        check(platform, given)
    for other in SUPPORT[name]:
        assert other in caught.value.advice


@pytest.mark.parametrize("name", sorted(EMULATED))
def test_emulation_takes_it_with_a_warning(name: str) -> None:
    value = VALUES.get(name, "something")
    (warning,) = check("local", {name: value}, emulate_accelerators=True)
    assert warning.endswith(f" {name}." if isinstance(value, dict) else f" {name}={value!r}.")


def test_one_warning_for_all() -> None:
    given = {"spot": True, "zone": "us-east1-b", "cluster": "c", "accelerator": "tpu-v5litepod-4", "project": None}
    assert check("local", given, emulate_accelerators=True) == [
        "Emulated on the CPU of this machine, not honoured: "
        "accelerator='tpu-v5litepod-4', spot=True, zone='us-east1-b'."
    ]


def test_emulation_is_for_machines_only() -> None:
    with pytest.raises(UnsupportedParameter, match="debug") as caught:
        check("local", {"debug": True}, emulate_accelerators=True)
    assert "No platform honours it in this version" in caught.value.advice


@pytest.mark.parametrize("value", [None, False, "", {}, []])
def test_what_was_not_given_is_no_error(value: object) -> None:
    assert check("local", dict.fromkeys(("volumes", "spot", "zone", "debug", "backend"), value)) == []


def test_a_zero_was_given() -> None:
    assert check("local", {"max_preemptions": 0}) == []
    with pytest.raises(UnsupportedParameter):
        check("local", {"debug": 0})


def test_an_accelerator_needs_emulation_here() -> None:
    with pytest.raises(AcceleratorError, match="'l4'") as caught:
        check("local", {"accelerator": "l4"})
    assert '"emulate_accelerators": true' in caught.value.advice
    assert check("gke", {"accelerator": "l4"}) == []
    assert check("local", {"accelerator": "cpu:4"}) == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_accelerator_that_does_not_exist_is_an_error_everywhere(platform: Platform) -> None:
    with pytest.raises(AcceleratorError, match="l5"):
        check(platform, {"accelerator": "l5"}, emulate_accelerators=True)


@pytest.mark.parametrize("name", AMOUNTS)
@pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), math.inf, math.nan, timedelta.max, 1e10, "10", True])
def test_an_amount_that_cannot_be_meant_is_an_error(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` is .*0 or more"):
        check("local", {name: value})


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_amount_that_is_nearly_for_ever(name: str) -> None:
    assert check("local", {name: 10**9}) == []


def test_one_name_is_no_list_of_names() -> None:
    with pytest.raises(ConfigurationError, match=r"\['HOME'\]"):
        check("local", {"capture_env_vars": "HOME"})


def test_a_variable_of_a_secret_cannot_be_emulated() -> None:
    with pytest.raises(UnsupportedParameter, match="`secret_env`") as caught:
        check("local", {"secret_env": VALUES["secret_env"]}, emulate_accelerators=True)
    assert "gke, kubernetes" in caught.value.advice


@pytest.mark.parametrize("name", ["labels", "requests", "secret_env", "pod_override"])
@pytest.mark.parametrize("value", ["team=vision", [("team", "vision")], {"team": object()}, {"team": math.nan}])
def test_a_dict_holds_plain_values(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}`"):
        check("gke", {name: value})


@pytest.mark.parametrize("name", ["service_account", "priority_class", "queue_name"])
def test_a_name_is_a_text(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` is 3"):
        check("gke", {name: 3})


@pytest.mark.parametrize("labels", [{"app": "x"}, {"Team!": "x"}, {"team": "my team"}, {"team": None}])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_labels_are_legal_everywhere(platform: Platform, labels: dict[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="`labels`"):
        check(platform, {"labels": labels})


def test_an_unknown_backend_names_the_known() -> None:
    with pytest.raises(ConfigurationError, match="ray") as caught:
        check("gke", {"backend": "ray"})
    assert "gke, pathways" in caught.value.advice


def test_an_unknown_parameter_names_the_near_one() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        check("local", {"capture_env": ["A"]})
    assert "Did you mean `capture_env_vars`?" in caught.value.advice


def test_the_page_says_the_same() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", _section("Operator parameters"), re.MULTILINE)
    assert {name: cells for name, *cells in rows} == {name: _cells(name) for name in SUPPORT}


def _cells(name: str) -> list[str]:
    cells = ["yes" if platform in SUPPORT[name] else "–" for platform in PLATFORMS]
    if name == "accelerator":
        cells[2] = "`cpu`; others emulated"
    elif name in EMULATED:
        cells[2] = "emulated"
    return cells


def _section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
