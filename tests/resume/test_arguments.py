"""What is kept of a call: the same for the same call, without secrets, of a bounded size, and JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.lifecycle.arguments import MOST, Arguments, changes
from airflow_provider_kinetic.model.data import Data


def train(lr: float, *sizes: int, seed: int = 3, **more: Any) -> None: ...


@dataclasses.dataclass
class Config:
    depth: int
    api_key: str = ""


class Model:
    """Each has another address."""


class Size(enum.Enum):
    SMALL = 1


@dataclasses.dataclass
class Unfinished:
    depth: int = dataclasses.field(init=False)


class Donated:
    """An array whose memory is gone."""

    ndim = 0

    def item(self) -> None:
        raise RuntimeError("deleted")


def kept(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return dict(Arguments.of(train, args, kwargs).values)


def test_arguments_have_their_names_and_defaults():
    assert kept(0.1, 64, 32, warmup=5) == {"lr": 0.1, "sizes": [64, 32], "seed": 3, "warmup": 5}
    assert Arguments.of(train, (0.1,), {}).digest == Arguments.of(train, (), {"seed": 3, "lr": 0.1}).digest


@pytest.mark.parametrize(
    ("value", "as_kept"),
    [
        (Data("gs://acme/digits/"), {"Data": "gs://acme/digits/"}),
        (Config(3), {"Config": {"depth": 3, "api_key": "***"}}),
        (Model(), "Model"),
        (Unfinished(), "Unfinished"),
        (Donated(), "Donated"),
        (b"weights", "bytes"),
        (Size.SMALL, "Size.SMALL"),
        ([Model()], ["Model"]),
        (kept, "kept"),
        (date(2026, 1, 2), "2026-01-02"),
        (PurePosixPath("/a"), "/a"),
        ({3, 1, 2}, ["1", "2", "3"]),
        (math.inf, "Infinity"),
        ([math.nan], ["NaN"]),
        ({1: 2, "a": 3}, "dict"),
        ((1, (2, 3)), [1, [2, 3]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_has_a_stable_form(value, as_kept):
    assert kept(0.1, x=value)["x"] == as_kept
    assert json.loads(json.dumps(kept(0.1, x=value), allow_nan=False)) == kept(0.1, x=value)


def test_a_value_that_holds_itself_has_one_too():
    loop: list[Any] = []
    loop.append(loop)
    assert kept(0.1, x=loop)["x"] == "list"


def test_secrets_are_masked_wherever_they_stand():
    values = kept(0.1, hub_token="hunter2", config={"deep": [{"password": 1234}]}, url="https://me:hunter2@host/x")

    assert "hunter2" not in json.dumps(values)
    assert "1234" not in json.dumps(values)
    assert values["url"] == "https://***@host/x"


@pytest.mark.parametrize("name", ["api_key", "db_passwd", "PWD", "passphrase", "Authorization", "hf_token"])
def test_names_of_secrets(name):
    values = kept(0.1, **{name: "hunter2", "more": [{name: ["hunter2"]}]})

    assert "hunter2" not in json.dumps(values)


def test_a_changed_secret_is_no_changed_argument():
    assert Arguments.of(train, (1,), {"token": "a"}).digest == Arguments.of(train, (1,), {"token": "b"}).digest


def test_numbers_are_not_secret_because_of_their_name():
    assert kept(0.1, max_tokens=512, key=7, tokenizer=None)["max_tokens"] == 512


def test_long_values_show_their_beginning_and_differ_by_their_end():
    long = list(range(100_000))
    one, other = kept(0.1, x=long)["x"], kept(0.1, x=[*long, 1])["x"]

    assert one.startswith("[0, 1, 2, 3")
    assert len(one) < 200
    assert one != other


def test_a_long_value_hides_its_secret_too():
    assert "hunter2" not in kept(0.1, x={"a_token": "hunter2", "z": "y" * 5000})["x"]


@pytest.mark.parametrize(("count", "length"), [(30, 900), (400, 900), (5000, 3)])
def test_all_together_have_a_bounded_size(count, length):
    many = {f"x{number}": "y" * length for number in range(count)}
    one, other = Arguments.of(train, (1,), many), Arguments.of(train, (1,), {**many, "x7": "z"})

    assert len(json.dumps(dict(one.values))) <= MOST
    assert one.digest != other.digest


def test_context_values_are_left_out():
    assert "seed" not in Arguments.of(train, (1,), {"seed": "2026-01-01"}, omit=["seed"]).values


@pytest.mark.parametrize("function", [lambda: None, len, Model()])
def test_a_call_that_does_not_fit_is_described_all_the_same(function):
    assert Arguments.of(function, (1, 2), {"a": 3}).values == {"0": 1, "1": 2, "a": 3}


def test_changes_name_what_differs():
    assert (
        changes({"a": 1, "b": "x", "c": 0}, {"a": 1, "b": "y", "d": None})
        == 'b: "x" → "y", c: 0 → not given, d: not given → null'
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain, plain)
def test_what_is_kept_is_json_and_the_same_each_time(one, other):
    first, again = (Arguments.of(train, (one,), {"x": other}) for _ in range(2))

    assert first.digest == again.digest
    assert json.loads(json.dumps(dict(first.values), allow_nan=False)) == first.values
