"""Datasets of the Hugging Face hub: loaded by the image's own library, whatever the project holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from airflow_provider_kinetic.job.references import DataReference

LIBRARY = """
import json
import os
from pathlib import Path

DatasetDict = dict


class Dataset:
    def __init__(self, asked):
        self.asked = asked

    def save_to_disk(self, folder):
        Path(folder, "train").mkdir(parents=True)
        Path(folder, "train", "data.arrow").write_text("rows")
        Path(folder, "asked.json").write_text(json.dumps(self.asked))
        if self.asked["repo"] == "half":
            raise OSError(28, "No space left on device")


def load_dataset(repo, *, cache_dir, **options):
    Path(cache_dir).mkdir(parents=True)
    Path(cache_dir, "shard").write_text("cached")
    if repo == "acme/none":
        raise FileNotFoundError("Dataset 'acme/none' doesn't exist on the Hub or cannot be accessed.")
    return Dataset({"repo": repo, "token": os.environ.get("HF_TOKEN"), **options})
"""
PROJECT = {"datasets/__init__.py": "", "datasets/mine.py": "ROWS = 3"}


@pytest.fixture
def hub(job, tmp_path):
    """An image with the library."""
    (tmp_path / "site" / "datasets").mkdir(parents=True)
    (tmp_path / "site" / "datasets" / "__init__.py").write_text(LIBRARY)
    job.python = (sys.executable,)
    job.environ["PYTHONPATH"] = str(tmp_path / "site")
    return job


def look(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in Path(folder).rglob("*") if path.is_file()}


def given(job, by_value, uri, *, volumes=(), **options):
    wire = DataReference(uri, is_dir=True, **options).to_wire()
    return job.call(by_value(look), wire, payload={"has_data_refs": True, "volumes": list(volumes)})


def failure(job):
    ended = job.run()
    assert ended.code == 1, ended.output
    assert ended.termination["phase"] == "data resolve"
    return str(job.result()["exception"])


def test_a_dataset_is_a_folder(hub, by_value):
    hub.environ["HF_TOKEN"] = "hf_x"
    ended = given(hub, by_value, "hf://acme/mnist?split=train&config_name=small&revision=v1&seen=by-upstream").run()
    assert ended.code == 0, ended.output
    found = hub.result()["result"]
    assert set(found) == {"asked.json", "train/data.arrow"}
    asked = {"repo": "acme/mnist", "name": "small", "split": "train", "revision": "v1", "token": "hf_x"}
    assert json.loads(found["asked.json"]) == asked
    assert "run code of its own" not in ended.output


def test_code_of_the_dataset_runs_only_where_that_was_said(hub, by_value):
    ended = given(hub, by_value, "hf://mnist", hf_trust_remote_code=True).run()
    assert json.loads(hub.result()["result"]["asked.json"])["trust_remote_code"] is True
    assert "mnist may run code of its own" in ended.output


def test_as_a_volume(hub, tmp_path):
    volume = DataReference("hf://mnist", is_dir=True, mount_path=str(tmp_path / "digits"))

    def rows(path):
        return Path(path, "train", "data.arrow").read_text()

    hub.call(rows, volume.mount_path, payload={"has_data_refs": False, "volumes": [volume.to_wire()]})
    ended = hub.run()
    assert ended.code == 0, ended.output
    assert hub.result()["result"] == "rows"
    assert not (tmp_path / "digits").exists()


def test_the_project_s_own_datasets_are_not_in_the_way(hub, by_value):
    hub.context(PROJECT, {"sys_path_rel": [""], "client_cwd_rel": ""})
    ended = given(hub, by_value, "hf://mnist").run()
    assert ended.code == 0, ended.output
    assert "train/data.arrow" in hub.result()["result"]


def test_one_that_is_imported_already_is_named(hub, by_value):
    hub.context(PROJECT, {"sys_path_rel": [""], "client_cwd_rel": ""})
    given(hub, by_value, "hf://mnist")
    payload = hub.artifacts / "payload.pkl"
    payload.write_bytes(b"cdatasets.mine\nROWS\n0" + payload.read_bytes())
    text = failure(hub)
    assert "a module of this name comes from" in text
    assert "workspace/datasets/__init__.py" in text


def test_the_missing_library_is_named(job, by_value):
    text = failure(given(job, by_value, "hf://mnist"))
    assert "hf://mnist needs the package `datasets`" in text
    assert "`requirements`" in text


@pytest.mark.parametrize(("repo", "why"), [("acme/none", "doesn't exist on the Hub"), ("half", "No space left")])
def test_what_cannot_be_loaded_says_why(hub, by_value, repo, why):
    text = failure(given(hub, by_value, f"hf://{repo}"))
    assert why in text
    assert f"hf://{repo} could not be loaded" in text
    assert hub.leftovers() == []
