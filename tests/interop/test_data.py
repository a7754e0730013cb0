"""Data that one side has uploaded is there for the other, and either runner reads it: ``contract`` 14.3 number 18."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud import Cloud
from gcs_objects import Content
from upstream import BUCKET, Upstream, data

from airflow_provider_kinetic import Data
from airflow_provider_kinetic.hooks.kinetic import KineticHook

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("shop")]
Submit = Callable[..., str]
Over = Callable[[str], str]
FILES = {"b.txt": "B", "a.txt": "", "a/z": "z", "a/inner/k": "k", "é ü#%20.txt": "odd"}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Of a content that no other test has."""
    made = tmp_path / "digits"
    for name, text in {**FILES, "test": request.node.name}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "empty").mkdir()
    return made


@pytest.fixture
def expected(folder: Path) -> dict[str, str]:
    return {**FILES, "test": (folder / "test").read_text()}


@pytest.fixture
def stored(cloud: Cloud) -> Callable[[], dict[str, int]]:
    """Generations of the files' objects, by name; a marker may be written again."""

    def stored() -> dict[str, int]:
        bucket = cloud.gcs.buckets[BUCKET]
        return {name: bucket.get(name, {}).generation for name in cloud.objects(BUCKET, "default/data-cache/")}

    return stored


class TestOneUpload:
    @pytest.mark.parametrize("name", ["", "a/z"], ids=["folder", "file"])
    def test_of_upstream_is_found_by_us(
        self,
        upstream: Upstream,
        submit: Submit,
        over: Over,
        folder: Path,
        stored: Callable[[], dict[str, int]],
        name: str,
    ) -> None:
        theirs = upstream.handle(over(upstream.submit("contents", data(folder / name))), "result")
        before = stored()
        job_id = over(submit("contents", Data(folder / name)))
        assert KineticHook().result(KineticHook().attach(job_id)) == theirs
        added = set(stored()) - set(before)
        assert {key: value for key, value in stored().items() if key not in added} == before, "nothing is sent again"
        assert all(key.endswith("/empty/") for key in added), "upstream forgets empty folders"

    @pytest.mark.parametrize("name", ["", "a/z"], ids=["folder", "file"])
    def test_of_ours_is_found_by_upstream(
        self,
        upstream: Upstream,
        submit: Submit,
        over: Over,
        folder: Path,
        stored: Callable[[], dict[str, int]],
        name: str,
    ) -> None:
        job_id = over(submit("contents", Data(folder / name)))
        before = stored()
        theirs = upstream.handle(over(upstream.submit("contents", data(folder / name))), "result")
        assert KineticHook().result(KineticHook().attach(job_id)) == theirs
        assert stored() == before


class TestTheOthersRunner:
    """Payloads with references, as ``test_runners`` does with values."""

    def test_ours_reads_their_references(
        self,
        upstream: Upstream,
        ours: str,
        over: Over,
        cloud: Cloud,
        folder: Path,
        tmp_path: Path,
        expected: dict[str, Any],
    ) -> None:
        (tmp_path / "w.txt").write_text("weights")
        weights = Content()
        weights.append(b"weights")
        cloud.gcs.buckets[BUCKET].insert({"name": "models/w.txt"}, weights, {})
        given = {"inside": [data(folder), data(folder / "a" / "z"), data(f"gs://{BUCKET}/models/w.txt"), data(folder)]}
        volume = tmp_path / "volume"
        job_id = upstream.submit(
            "contents", given, container_image=ours, volumes={str(volume): data(tmp_path / "w.txt")}
        )
        found = upstream.handle(over(job_id), "result")
        assert found == [expected, {"z": "z"}, {"w.txt": "weights"}, expected]
        assert (volume / "w.txt").read_text() == "weights"

    def test_theirs_reads_our_references(
        self, upstream: Upstream, packed: Submit, over: Over, folder: Path, tmp_path: Path, expected: dict[str, Any]
    ) -> None:
        (tmp_path / "w.txt").write_text("weights")
        given = {"inside": [Data(folder), Data(folder / "a" / "z"), Data(folder)]}
        volume = tmp_path / "volume"
        job_id = over(packed("contents", given, volumes={str(volume): Data(tmp_path / "w.txt")}))
        assert upstream.handle(job_id, "result") == [expected, {"z": "z"}, expected]
        assert (volume / "w.txt").read_text() == "weights"
