"""``Data`` names data and touches nothing, wherever a DAG file is parsed and however the value travels."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.serde import allow_class, deserialize, serialize
from airflow.serialization.helpers import serialize_template_field

from airflow_provider_kinetic.job.references import HubDataset
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError


class Task(BaseOperator):
    template_fields = ("op_args",)

    def __init__(self, op_args: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.op_args = op_args


def rendered(value: Any, *, native: bool = False, **context: Any) -> Any:
    with DAG("example", schedule=None, render_template_as_native_obj=native):
        task = Task(task_id="task", op_args=value)
    task.render_template_fields({"task": task, **context})  # type: ignore[arg-type]
    return task.op_args


@pytest.mark.parametrize(
    ("path", "kind", "is_folder"),
    [
        ("/data/digits", "local", None),
        ("digits/", "local", None),
        ("~/digits", "local", None),
        ("file:///data/digits", "local", None),
        ("C:", "local", None),
        ("gs://acme/digits/", "gs", True),
        ("gs://acme/", "gs", True),
        ("gs://acme/weights.h5", "gs", False),
        ("gs://acme/weights", "gs", False),
        ("hf://mnist", "hf", True),
        ("hf://acme/digits?split=train", "hf", True),
    ],
)
def test_kinds(path: str, kind: str, is_folder: bool | None) -> None:
    data = Data(path)
    assert (data.kind, data.is_folder, data.fuse) == (kind, is_folder, False)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "names nothing"),
        ("s3://acme/digits/", "cannot be read from s3://"),
        ("GS://acme/digits/", "cannot be read from GS://"),
        ("gs://", "'' is no name of a bucket"),
        ("gs:///digits", "'' is no name of a bucket"),
        ("gs://Acme/digits", "'Acme' is no name of a bucket"),
        ("gs://conn@acme/digits", "'conn@acme' is no name of a bucket"),
        ("gs://acme", "neither an object nor a prefix"),
        ("gs://acme/a\nb", "cannot hold an object of this name"),
        ("gs://acme/" + "x" * 1025, "has 1,025 bytes"),
        ("gs://acme/\udcff", "is not UTF-8"),
        ("hf://", "names no dataset"),
        ("hf://?split=train", "names no dataset"),
        ("hf://mnist?spilt=train", "unknown option 'spilt'"),
        ("file://elsewhere/digits", "not a file:// URI of this machine"),
        ("/data/\0", "NUL"),
    ],
)
def test_what_cannot_be_named(path: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Data(path)
    assert said in caught.value.summary


@pytest.mark.parametrize("path", [None, 1, b"/data", ["/data"]])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes the text of a path or URI") as caught:
        Data(path)
    assert "xcom_pull" in caught.value.advice


def test_a_dataset_of_the_hub_cannot_be_mounted() -> None:
    with pytest.raises(ConfigurationError, match="cannot be mounted"):
        Data("hf://mnist", fuse=True)
    with pytest.raises(ConfigurationError, match="cannot be mounted"):
        Data("hf://{{ params.name }}", fuse=True)


def test_options_of_a_dataset() -> None:
    assert Data("hf://acme/digits?split=train&config_name=small&revision=v1").hub == HubDataset(
        "acme/digits", "train", "small", "v1"
    )


def test_nothing_is_touched() -> None:
    """Neither the disk nor the home folder is asked, until the path is wanted."""
    code = """
import sys
from airflow_provider_kinetic.model.data import Data
asked = []
sys.addaudithook(lambda event, args: asked.append(event) if event.startswith(("os.", "open", "socket.")) else None)
for path in ("/absent/x", "~/absent", "relative", "gs://acme/x/", "hf://x", "file:///absent", "{{ ds }}"):
    Data(path)
assert not asked, asked
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_home_that_is_not_there_names_the_worker() -> None:
    with pytest.raises(ConfigurationError, match=f"worker {socket.gethostname()} knows no home folder ~nobody-at-all"):
        _ = Data("~nobody-at-all/x").local_path


def test_local_paths_are_absolute_and_keep_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "link").symlink_to("elsewhere")
    assert Data("a/../link/").local_path == tmp_path / "link"
    assert Data("~/x").local_path == tmp_path / "home" / "x"
    assert Data(tmp_path / "x").local_path == tmp_path / "x"
    assert Data("file:///a%20b").local_path == Path("/a b")
    with pytest.raises(ValueError, match="not on this machine"):
        _ = Data("gs://acme/x").local_path


def test_it_is_a_value() -> None:
    assert Data("/x") == Data(Path("/x"))
    assert Data("/x") != Data("/x", fuse=True)
    assert len({Data("/x"), Data("/x"), Data("/y")}) == 2
    assert pickle.loads(pickle.dumps(Data("/x", fuse=True))) == Data("/x", fuse=True)
    with pytest.raises(AttributeError):
        Data("/x").path = "/y"  # type: ignore[misc]


class TestTemplates:
    def test_rendered_where_airflow_renders_arguments(self) -> None:
        value = [{"x": Data("gs://acme/{{ ds }}/", fuse=True)}, (Data("/data"), "{{ ds }}")]
        assert rendered(value, ds="2026-01-01") == [
            {"x": Data("gs://acme/2026-01-01/", fuse=True)},
            (Data("/data"), "2026-01-01"),
        ]

    def test_the_dag_files_value_stays_a_template_for_the_next_run(self) -> None:
        data = Data("gs://acme/{{ ds }}/")
        assert rendered([data], ds="a") == [Data("gs://acme/a/")]
        assert rendered([data], ds="b") == [Data("gs://acme/b/")]
        assert data.is_template

    def test_native_rendering_gives_text_too(self) -> None:
        assert rendered(Data("{{ where }}"), native=True, where="/data/1") == Data("/data/1")

    def test_what_a_template_gives_is_checked(self) -> None:
        with pytest.raises(ConfigurationError, match="names nothing"):
            rendered(Data("{{ where }}"), where="")
        with pytest.raises(ConfigurationError, match="neither an object nor a prefix"):
            rendered(Data("gs://{{ bucket }}"), bucket="acme")

    def test_paths_without_a_template_are_left_as_they_are(self) -> None:
        for path in ("/a\n", "/a{b}", "/etc/x.sql", "/a.sh"):
            assert rendered(Data(path)) == Data(path)

    def test_the_scheme_is_checked_before(self) -> None:
        with pytest.raises(ConfigurationError, match="s3://"):
            Data("s3://acme/{{ ds }}/")


class TestXCom:
    def test_through_airflows_serializer(self) -> None:
        allow_class(Data)
        value = {"train": Data("gs://acme/x/", fuse=True), "test": [Data("hf://mnist", hf_trust_remote_code=True)]}
        assert deserialize(json.loads(json.dumps(serialize(value)))) == value

    def test_the_form_is_plain_json(self) -> None:
        data = Data("/x", fuse=True)
        assert data.serialize() == {"path": "/x", "fuse": True, "hf_trust_remote_code": False}
        assert Data.deserialize(json.loads(json.dumps(data.serialize()))) == data

    def test_a_newer_form_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="of version 2 cannot be read"):
            Data.deserialize({}, 2)

    @pytest.mark.parametrize("value", [{}, {"path": "/x", "color": 1}])
    def test_something_else_is_refused(self, value: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="not a Data value"):
            Data.deserialize(value)

    def test_a_serialized_dag_shows_it(self) -> None:
        assert serialize_template_field([Data("/x")], "op_args") == [
            {"path": "/x", "fuse": False, "hf_trust_remote_code": False}
        ]
