"""Data is found among the arguments and replaced by references; nothing else changes."""

from __future__ import annotations

import collections
import dataclasses
import os
import pickle
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import pytest

from airflow_provider_kinetic.job.containers import Nested
from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.packaging.data_arguments import DataArguments

A, B = Data("/a"), Data("gs://acme/b/", fuse=True)
Pair = namedtuple("Pair", "left right")


class Row(list[Any]):
    color = "red"


class Strict(list[Any]):
    def __init__(self, items: Any, more: Any) -> None:
        super().__init__(items)
        self.more = more

    def __reduce_ex__(self, _: Any) -> Any:
        raise TypeError("never copied")


@dataclasses.dataclass
class Split:
    train: Any
    test: list[Any] = dataclasses.field(default_factory=list)
    seen: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        assert not isinstance(self.train, dict), "made once, by the user"


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    data: Any


def reference(data: Data) -> DataReference:
    return DataReference(data.path, is_dir=True, fuse=data.fuse)


def sent(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    arguments = DataArguments(args, kwargs)
    warnings: list[str] = []
    result = arguments.with_references({data: reference(data) for data in arguments.data}, warnings.append)
    assert not warnings
    return result


def one(value: Any) -> Any:
    (new,), _ = sent(value)
    return new


def wire(data: Data) -> dict[str, Any]:
    return reference(data).to_wire()


def test_a_reference_has_the_keys_of_the_contract() -> None:
    assert DataReference("gs://b/default/data-cache/h", is_dir=True).to_wire() == {
        "__data_ref__": True,
        "uri": "gs://b/default/data-cache/h",
        "is_dir": True,
        "mount_path": None,
        "fuse": False,
        "hf_trust_remote_code": False,
    }
    assert DataReference.from_wire(wire(B)) == reference(B)


def test_a_fuse_mount_of_a_single_uploaded_file_names_the_file() -> None:
    mounted = DataReference("gs://b/h", is_dir=False, mount_path="/data", fuse=True)
    assert mounted.fuse_mount("x.bin") == {
        "gcs_uri": "gs://b/h/x.bin",
        "mount_path": "/data",
        "is_dir": False,
        "read_only": True,
    }
    assert mounted.fuse_mount()["gcs_uri"] == "gs://b/h"
    with pytest.raises(ValueError, match="not mounted"):
        reference(A).fuse_mount()


def test_arguments_in_order_and_equal_values_once() -> None:
    arguments = DataArguments((1, [B, A], {"x": (A,)}), {"k": Data("/z"), "again": Data("/a")})
    assert arguments.data == (B, A, Data("/z"))


def test_mounts_are_numbered_among_those_that_ask_for_fuse() -> None:
    other = Data("/c", fuse=True)
    assert DataArguments((A, B, other), {}).mounts == {B: "/_kinetic/fuse-data/0", other: "/_kinetic/fuse-data/1"}


def test_every_container_on_the_way_is_kept_in_kind() -> None:
    assert sent(A, [1, (A, "x")], k={"deep": [{"er": A}]}) == (
        (wire(A), [1, (wire(A), "x")]),
        {"k": {"deep": [{"er": wire(A)}]}},
    )
    assert one(Pair(A, 2)) == Pair(wire(A), 2)
    assert type(one(Pair(A, 2))) is Pair
    default = one(defaultdict(list, {"x": A}))
    assert default == {"x": wire(A)}
    assert default["new"] == []
    ordered = OrderedDict(x=1, y=A)
    ordered.move_to_end("x")
    assert list(one(ordered).items()) == [("y", wire(A)), ("x", 1)]
    row = Row([A])
    row.color = "blue"
    assert (type(one(row)), one(row), one(row).color) == (Row, [wire(A)], "blue")
    assert type(one(collections.Counter(x=A))) is collections.Counter


def test_fields_of_dataclasses() -> None:
    split = Split("x", [A])
    split.train, split.seen = A, 3
    new = one({"split": split})["split"]
    assert (type(new), new.train, new.test, new.seen) == (Split, wire(A), [wire(A)], 3)
    assert (split.train, split.test) == (A, [A])
    assert one(Frozen((A,))) == Frozen((wire(A),))


def test_what_holds_no_data_is_handed_on_itself() -> None:
    plain: dict[str, Any] = {"set": {1, 2}, "cycle": ([],), "row": Row([1])}
    plain["cycle"][0].append(plain["cycle"])
    (same, _), _ = sent(plain, [A])
    assert same is plain
    assert DataArguments((plain,), {}).data == ()


def test_nothing_is_looked_at_but_containers() -> None:
    class Holder:
        def __init__(self) -> None:
            self.data = A

    assert DataArguments((Holder(), Split, lambda: A, collections.deque([A])), {}).data == ()


def test_aliases_and_cycles_of_lists_and_dicts_stay() -> None:
    shared = [A]
    first, second = one([shared, shared])
    assert first is second
    cycle: list[Any] = [A]
    cycle.append({"me": cycle})
    new = one(cycle)
    assert new[0] == wire(A)
    assert new[1]["me"] is new
    assert cycle[0] is A


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        sent(*args, **kwargs)
    assert "lists, tuples, values of dicts" in caught.value.advice
    return caught.value.summary


def test_data_in_a_set_or_key_is_refused_by_its_place() -> None:
    assert refusal(1, {A}) == "argument 1: Data is a member of a set."
    assert refusal(k={"x": [frozenset({(A, 1)})]}) == "keyword argument 'k'['x'][0]: Data is a member of a set."
    assert refusal([{A: 1}]).startswith("argument 0[0]")
    assert refusal([{A: 1}]).endswith("Data is the key of a dict.")
    assert refusal({(1, A): 1}).endswith("Data is the key of a dict.")
    assert "member of a set" in refusal(*(lambda pair: ([pair], {pair}))((A, 1)))  # also where it is fine elsewhere


@pytest.mark.parametrize("start", ["list", "tuple"])
def test_a_cycle_through_a_tuple_is_refused(start: str) -> None:
    inner: list[Any] = [A]
    outer = (inner,)
    inner.append(outer)
    assert "container that contains itself" in refusal(inner if start == "list" else outer)


def test_a_template_that_nobody_rendered_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"argument 0\['x'\] is /\{\{ ds \}\}, a template that was not rendered"
    ):
        DataArguments(({"x": Data("/{{ ds }}")},), {})


def test_data_deeper_than_anything_can_be_pickled() -> None:
    value: Any = A
    for _ in range(10_000):
        value = [value]
    assert "too deep" in refusal(value)


def test_a_container_that_cannot_be_copied_becomes_a_plain_one_and_says_so() -> None:
    arguments = DataArguments((Strict([A], 1), os.terminal_size((80, 24))), {})
    warnings: list[str] = []
    (new, size), _ = arguments.with_references({A: reference(A)}, warnings.append)
    assert (type(new), new) == (list, [wire(A)])
    assert size.columns == 80
    assert [text.partition(" among")[0] for text in warnings] == ["A Strict"]


def test_keys_that_look_alike_are_two_places() -> None:
    class Key:
        def __repr__(self) -> str:
            return "key"

    places = DataArguments(({Key(): A, Key(): B},), {}).places
    assert places == {"argument 0['key']": A, "argument 0['key'] (2)": B}


def test_a_million_values_are_no_burden() -> None:
    numbers = list(range(1_000_000))
    (same, _), _ = sent(numbers, A)
    assert same is numbers


def test_the_job_puts_paths_in_place_of_references_by_the_same_walk() -> None:
    args, kwargs = pickle.loads(pickle.dumps(sent([A, (B,)], k=Frozen({"x": A}))))
    nested = Nested([args, kwargs], DataReference.is_wire)
    assert [DataReference.from_wire(value).uri for value in nested.found] == ["/a", "gs://acme/b/"]
    assert nested.replaced(lambda value: f"path of {value['uri']}") == [
        (["path of /a", ("path of gs://acme/b/",)],),
        {"k": Frozen({"x": "path of /a"})},
    ]
