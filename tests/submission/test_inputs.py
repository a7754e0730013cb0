"""Data of a submission: what stands for it in the payload, what the machine mounts, and what is refused at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.job.references import DataReference
from airflow_provider_kinetic.lifecycle.inputs import Inputs, Shipped
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError, UnsupportedParameter
from airflow_provider_kinetic.model.mounts import FuseMount
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity
from airflow_provider_kinetic.model.target import Platform, Target

BUCKET, ROOT = "gs://acme-jobs", "gs://acme-jobs/default/data-cache/" + "0" * 64


@dataclass
class Box:
    parts: list[Any] = field(default_factory=list)


def inputs(*args: Any, platform: Platform = "gke", volumes: Any = None, emulate: bool = False, **kwargs: Any) -> Inputs:
    root = "file:///store" if platform == "local" else BUCKET
    target = Target(platform, "k", root, f"{root}/outputs", "", emulate_accelerators=emulate)
    spec = JobSpec("f", volumes=volumes or {})
    work = Work(print, args, kwargs, spec, TaskIdentity("d", "t", "r"), max_tries=0, secrets={})
    return Inputs(target, work, lambda _: None)


def sent(*args: Any, **options: Any) -> Shipped:
    return inputs(*args, **options).foreseen()


def wire(uri: str, is_dir: bool, mount_path: str | None = None, fuse: bool = False) -> dict[str, Any]:
    return DataReference(uri, is_dir, mount_path, fuse).to_wire()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "a.bin").write_bytes(b"a")
    return tmp_path / "digits"


def test_a_call_without_data_is_left_as_it_is() -> None:
    args = ([1], {"a": "b"})
    shipped = sent(*args, x=args)
    assert shipped == Shipped(args, {"x": args})
    assert shipped.args[0] is args[0]


def test_every_kind_has_a_reference_of_the_contract(folder: Path) -> None:
    shipped = sent(
        Data(folder),
        Data(folder / "a.bin"),
        Data("gs://acme/x/"),
        Data("gs://acme/x.h5"),
        Data("hf://mnist?split=train"),
    )
    assert shipped.args == (
        wire(ROOT, True),
        wire(ROOT, False),
        wire("gs://acme/x/", True),
        wire("gs://acme/x.h5", False),
        wire("hf://mnist?split=train", True),
    )
    assert (shipped.has_references, shipped.volumes, shipped.mounts) == (True, (), ())


def test_at_any_depth() -> None:
    box = Box([{"deep": (Data("gs://acme/x/"),)}])
    shipped = sent(box, rest=[Data("gs://acme/y")])
    assert shipped.args == (Box([{"deep": (wire("gs://acme/x/", True),)}]),)
    assert shipped.kwargs == {"rest": [wire("gs://acme/y", False)]}
    assert box == Box([{"deep": (Data("gs://acme/x/"),)}]), "the caller's own is untouched"


def test_volumes_are_references_with_a_path(folder: Path) -> None:
    shipped = sent(volumes={"/data/": Data(folder), "/w": Data("gs://acme/w.h5"), "/hub": Data("hf://mnist")})
    assert shipped.volumes == (
        DataReference(ROOT, True, "/data"),
        DataReference("gs://acme/w.h5", False, "/w"),
        DataReference("hf://mnist", True, "/hub"),
    )
    assert (shipped.has_references, shipped.mounts) == (False, ())


def test_mounts_of_volumes_come_first_and_those_of_arguments_are_numbered(folder: Path) -> None:
    a, b = Data("gs://acme/a/", fuse=True), Data("gs://acme/b.bin", fuse=True)
    shipped = sent([a, b, a], Data("gs://acme/a/"), volumes={"/data": Data(folder / "a.bin", fuse=True), "/a": a})
    assert shipped.mounts == (
        FuseMount("/data", f"{ROOT}/a.bin", is_dir=False),
        FuseMount("/a", "gs://acme/a/"),
        FuseMount("/_kinetic/fuse-data/0", "gs://acme/a/"),
        FuseMount("/_kinetic/fuse-data/1", "gs://acme/b.bin", is_dir=False),
    )
    first, second, again = shipped.args[0]
    assert first is again
    assert first == wire("gs://acme/a/", True, "/_kinetic/fuse-data/0", fuse=True)
    assert second == wire("gs://acme/b.bin", False, "/_kinetic/fuse-data/1", fuse=True)
    assert shipped.args[1] == wire("gs://acme/a/", True), "one that is downloaded"
    assert shipped.volumes[0] == DataReference(ROOT, False, "/data", fuse=True)


def test_an_uploaded_file_is_mounted_with_the_folder_that_was_made_for_it(folder: Path) -> None:
    (mount,) = sent(Data(folder / "a.bin", fuse=True)).mounts
    assert (mount.bucket, mount.folder) == ("acme-jobs", ROOT.removeprefix("gs://acme-jobs/"))


@pytest.mark.parametrize("options", [{"data": Data("gs://acme/x/", fuse=True)}, {"volumes": {"/d": Data("/x", True)}}])
def test_fuse_needs_gke(options: Any) -> None:
    with pytest.raises(UnsupportedParameter, match="FUSE") as caught:
        inputs(platform="kubernetes", **options)
    assert ("keyword argument 'data'" if "data" in options else "volume '/d'") in caught.value.summary
    assert "Leave `fuse` out" in caught.value.advice


@pytest.mark.parametrize("folder", ["2026-01-01T00:00:00+00:00", "a,b/c"])
@pytest.mark.parametrize("name", ["", "x.bin"])
def test_a_folder_that_the_driver_takes_for_something_else(folder: str, name: str) -> None:
    """It would show all of the bucket, or some other folder."""
    with pytest.raises(ConfigurationError, match="argument 0: GKE's driver cannot mount") as caught:
        inputs(Data(f"gs://acme/{folder}/{name}", fuse=True))
    assert "Leave `fuse` out" in caught.value.advice
    inputs(Data(f"gs://acme/{folder}/{name}"))
    inputs(Data("gs://acme/x/a:b,c", fuse=True))


class TestOnThisMachine:
    def test_a_mount_of_local_data_is_a_link_to_the_data_itself(self, folder: Path) -> None:
        volumes = {f"{folder.parent}/data": Data(folder, fuse=True)}
        shipped = inputs(Data(folder, fuse=True), platform="local", volumes=volumes)
        assert shipped.foreseen().mounts == (), "no cluster mounts anything"
        assert shipped.foreseen().volumes[0].fuse

    def test_a_bucket_is_not_mounted(self) -> None:
        with pytest.raises(UnsupportedParameter, match="mounts no bucket") as caught:
            inputs(Data("gs://acme/x/", fuse=True), platform="local")
        assert "emulate_accelerators" in caught.value.advice

    def test_but_downloaded_where_machines_are_emulated(self, tmp_path: Path) -> None:
        x = Data("gs://acme/x/", fuse=True)
        shipped = sent(x, platform="local", emulate=True, volumes={f"{tmp_path}/x": x})
        assert shipped.args == (wire("gs://acme/x/", True),)
        assert shipped.volumes == (DataReference("gs://acme/x/", True, f"{tmp_path}/x"),)

    @pytest.mark.parametrize(
        ("path", "why"), [("digits", "something is there already"), ("absent/x", "there is no folder")]
    )
    def test_a_volume_needs_a_free_path(self, folder: Path, path: str, why: str) -> None:
        with pytest.raises(ConfigurationError, match=why) as caught:
            inputs(platform="local", volumes={f"{folder.parent}/{path}": Data(folder)})
        assert "as an argument" in caught.value.advice


class TestBadInput:
    @pytest.mark.parametrize("data", [{Data("/x")}, frozenset({Data("/x")}), {Data("/x"): 1}, {(1, Data("/x")): 1}])
    def test_where_nothing_can_take_its_place(self, data: Any) -> None:
        with pytest.raises(ConfigurationError, match="argument 0") as caught:
            inputs([data])
        assert "of its own" in caught.value.advice

    def test_a_cycle_through_a_tuple(self) -> None:
        items: list[Any] = [Data("gs://acme/x/")]
        items.append((items,))
        with pytest.raises(ConfigurationError, match="contains itself"):
            sent((items,))

    def test_a_template_that_nobody_rendered(self) -> None:
        for options in ({"data": Box([Data("gs://acme/{{ ds }}/")])}, {"volumes": {"/d": Data("gs://a/{{ ds }}/")}}):
            with pytest.raises(ConfigurationError, match="was not rendered"):
                inputs(**options)

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"does not exist on the worker"):
            sent(volumes={"/d": Data(tmp_path / "absent")})

    def test_a_socket_in_a_path_s_place(self) -> None:
        with pytest.raises(ConfigurationError, match="a device"):
            sent(Data("/dev/null"))
