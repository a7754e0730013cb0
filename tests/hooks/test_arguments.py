"""What Airflow hands to a task in a form of its own, as a job gets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from airflow_provider_kinetic.hooks.arguments import plain_call
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError


class Mapped(LazyXComSequence[Any]):
    """The values of a mapped task, known without a server."""

    def __init__(self, *values: Any) -> None:
        super().__init__(xcom_arg=None, ti=None)  # type: ignore[arg-type]
        self.values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class Box:
    content: Any


def test_sequences_become_lists_at_any_depth() -> None:
    x = Data("/x")
    args, kwargs = plain_call((Mapped(1, x), [Box({"deep": Mapped()})]), {"paths": (Mapped(x),)})
    assert (args, kwargs) == (([1, x], [Box({"deep": []})]), {"paths": ([x],)})
    assert type(args[0]) is list


def test_everything_else_is_the_same_object() -> None:
    large, box = list(range(1000)), Box([1])
    args, kwargs = plain_call((large,), {"box": box})
    assert args[0] is large
    assert kwargs["box"] is box


def test_what_contains_itself_is_left_alone() -> None:
    items: list[Any] = [1]
    items.append(items)
    (same,), _ = plain_call((items,), {})
    assert same is items


def test_a_list_is_no_member_of_a_set() -> None:
    with pytest.raises(ConfigurationError, match="a member of a set, where a list cannot be") as caught:
        plain_call(({Mapped(1)},), {})
    assert "of their own" in caught.value.advice
