"""``airflow kinetic images``: what was built, building ahead, and removing what nobody needs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from wheels import Index

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.builders.local_record import Order
from airflow_provider_kinetic.builders.local_seal import METADATA, seal
from airflow_provider_kinetic.builders.locks import try_lock
from airflow_provider_kinetic.cli.images import requirement_names
from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.job.storage import uri_to_path
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError
from airflow_provider_kinetic.model.images import ImageRequest
from airflow_provider_kinetic.model.target import Target

DAY = 86400.0

DAG_FILE = """
from airflow.sdk import DAG, task
from airflow_provider_kinetic.operators.build_image import KineticBuildImageOperator
from airflow_provider_kinetic.operators.run import KineticRunOperator


def train(rate): ...


with DAG("shop", schedule=None):
    plain = dict(python_callable=train, accelerator="cpu")
    tiny = ["kinetic_probe_more"]
    KineticRunOperator(task_id="first", requirements=tiny, **plain)
    KineticRunOperator(task_id="same", requirements=tiny, **plain)
    KineticRunOperator.partial(task_id="each", requirements=tiny, **plain).expand(op_args=[[1], [2]])
    KineticRunOperator(task_id="beside", **plain)
    KineticRunOperator(task_id="named", container_image="/usr/bin/python3", **plain)
    KineticRunOperator(task_id="later", requirements=["{{ params.package }}"], **plain)
    KineticRunOperator.partial(task_id="many", **plain).expand(requirements=[["a"], ["b"]])

    KineticBuildImageOperator(task_id="ahead", category="cpu", requirements=tiny)
    KineticBuildImageOperator(task_id="pooled", category="cpu", build_worker_pool="{{ params.pool }}")

    @task.kinetic(accelerator="cpu", requirements=tiny)
    def decorated(rate): ...

    decorated.expand(rate=[1, 2])
"""


@dataclass(frozen=True)
class Workshop:
    """Environments of one small package each, on the local platform of a desk."""

    desk: Any
    builder: LocalBuilder

    def __call__(self, *words: str, code: int = 0) -> Any:
        said = self.desk.run("images", *words, "--output", "json", code=code)
        return json.loads(said) if said else None

    def request(self, requirements: str = "", category: str = "cpu") -> ImageRequest:
        return self.builder.request_for(category, requirements)

    def build(self, requirements: str = "", category: str = "cpu", age: float = 0.0) -> str:
        """The tag of an environment that was built ``age`` seconds ago."""
        order = Order(self.request(requirements, category), packages=(), id="", timeout=1.0, by="")
        environment = uri_to_path(self.builder.uri(order.request))
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").symlink_to(sys.executable)
        seal(environment, order, "nobody", 1.0)
        created = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age, UTC)
        facts = environment / METADATA
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "created": created.isoformat()}))
        return environment.name

    def tags(self) -> list[str]:
        return [image.tag for image in self.builder.images()]


@pytest.fixture
def images(desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    Index.opened(tmp_path, monkeypatch).add("kinetic_probe_more")
    builder = LocalBuilder(desk.platform / "environments", base_packages=["kinetic_probe_tiny"])
    opened = platforms.PLATFORMS["local"]

    def open_with_small_environments(target: Target) -> Ports:
        return replace(opened(target), builder=builder)

    monkeypatch.setitem(platforms.PLATFORMS, "local", open_with_small_environments)
    return Workshop(desk, builder)


def test_the_list_says_what_an_image_holds_and_who_uses_it(images: Workshop) -> None:
    older = images.build("kinetic_probe_more>=1 # mine\n", age=3 * DAY)
    newer = images.build()
    job = images.desk.submit_and_start(container_image=str(images.desk.platform / "environments" / newer))

    first, second = images("list")

    assert (first["tag"], first["category"], first["jobs"], first["requirements"]) == (newer, "cpu", [job.job_id], [])
    assert (second["tag"], second["jobs"], second["requirements"]) == (older, [], ["kinetic_probe_more>=1"])
    assert second["image"] == (images.desk.platform / "environments" / older).as_uri()
    assert second["size"] > 0
    assert abs(datetime.fromisoformat(second["created_at"]).timestamp() - datetime.now(UTC).timestamp() + 3 * DAY) < 600


def test_for_people_the_list_has_ages_and_sizes(images: Workshop) -> None:
    names = [f"kinetic_probe_more!={number}" for number in range(2, 7)]
    tag = images.build("".join(f"{name}\n" for name in names), age=3 * DAY)
    said = images.desk.run("images", "list", "--output", "plain")
    assert f"{tag} cpu 3 days ago".split() == said.splitlines()[-1].split()[:5]
    assert "iB" in said
    assert f"{', '.join(names[:3])} +2" in said


class Silent:
    """A cluster that does not answer."""

    def list(self, **_: Any) -> None:
        raise ClusterError("The cluster does not answer.")


def test_the_list_does_without_the_jobs_where_the_cluster_is_silent(images: Workshop, monkeypatch) -> None:
    tag = images.build()
    opened = platforms.PLATFORMS["local"]
    monkeypatch.setitem(platforms.PLATFORMS, "local", lambda target: replace(opened(target), cluster=Silent()))
    (row,) = images("list")
    assert (row["tag"], row["jobs"]) == (tag, None)
    assert images("prune", "--older-than", "0s", "--keep", "0", code=1) is None
    assert images.tags() == [tag]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("numpy==2.0 \\\n    --hash=sha256:00\n-e .\n# jax\n\n", ["numpy==2.0"]),
        ("--extra-index-url https://me:s3cr3t@index\nmine @ https://me:s3cr3t@host/mine.whl\n", ["mine"]),
        ("keras[extra]>=3; python_version > '3'\n", ['keras[extra]>=3; python_version > "3"']),
    ],
)
def test_requirements_are_shown_without_urls(text: str, names: list[str]) -> None:
    assert requirement_names(text) == names


def test_an_image_is_built_as_the_options_say(images: Workshop) -> None:
    (row,) = images("build", "--requirements", "kinetic_probe_more", "--accelerator", "cpu")
    request = images.request("kinetic_probe_more\n")
    assert (row["tag"], row["image"], row["cached"]) == (request.tag, images.builder.uri(request), False)
    assert uri_to_path(row["log_url"]).read_text().splitlines()[-1].startswith(f"built {request.tag}")
    (again,) = images("build", "--requirements", "kinetic_probe_more")
    assert (again["image"], again["cached"], again["build_id"]) == (row["image"], True, None)


def test_one_image_for_each_kind_of_accelerator(images: Workshop, tmp_path: Path) -> None:
    (tmp_path / "needs.txt").write_text("kinetic_probe_more\njax==0.1\n")
    rows = images(
        "build", "-r", str(tmp_path / "needs.txt"), "--accelerator", "cpu", "l4", "a100", "--base-image", "a/b:1"
    )
    assert [row["tag"].partition("-")[0] for row in rows] == ["cpu", "gpu"]
    wanted = images.builder.request_for("gpu", "kinetic_probe_more\n", "a/b:1")
    assert rows[1]["tag"] == wanted.tag


def test_without_a_word_the_requirements_of_this_folder_are_taken(
    images: Workshop, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\ndependencies = ["kinetic_probe_more"]\n'
        '[project.optional-dependencies]\ntrain = ["kinetic_probe_tiny"]\n'
    )
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    assert images("build")[0]["tag"] == images.request("kinetic_probe_more\n").tag
    with_extra = images("build", "-r", str(tmp_path / "pyproject.toml[train]"))
    assert with_extra[0]["tag"] == images.request("kinetic_probe_more\nkinetic_probe_tiny\n").tag


def test_the_images_of_a_dag_file_are_built_once_each(images: Workshop, tmp_path: Path, capsys) -> None:
    dag_file = tmp_path / "dags" / "shop.py"
    dag_file.parent.mkdir()
    dag_file.write_text(DAG_FILE)
    (dag_file.parent / "requirements.txt").write_text("kinetic_probe_tiny\n")

    rows = {tuple(row["tasks"]): row["tag"] for row in images("build", str(dag_file))}

    more, beside = images.request("kinetic_probe_more\n").tag, images.request("kinetic_probe_tiny\n").tag
    several = ("shop.first", "shop.same", "shop.each", "shop.ahead", "shop.decorated")
    assert rows == {several: more, ("shop.beside",): beside}
    assert sorted(images.tags()) == sorted([more, beside])
    said = capsys.readouterr().err
    assert "shop.later is left out" in said
    assert "shop.pooled is left out" in said
    assert "shop.many is left out" in said


def test_a_build_that_fails_leaves_the_others_alone(images: Workshop, tmp_path: Path, capsys) -> None:
    dag_file = tmp_path / "dag.py"
    dag_file.write_text(
        DAG_FILE.replace(
            '**plain)\n    KineticRunOperator(task_id="named"',
            "requirements=['kinetic_probe_nowhere'], **plain)\n    KineticRunOperator(task_id=\"named\"",
        )
    )

    (row,) = images("build", str(dag_file), code=1)

    assert "shop.first" in row["tasks"]
    said = capsys.readouterr().err
    assert "kinetic-probe-nowhere" in said
    assert "could not be built" in said


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ("import no_such_module", (), "cannot be imported"),
        (
            "from airflow.sdk import DAG\nwith DAG('shop', schedule=None): ...",
            (),
            "no task for which an image is built",
        ),
        ("", ("--accelerator", "l4"), "describe an image without a DAG file"),
    ],
)
def test_a_dag_file_that_needs_no_image_is_an_error(
    images: Workshop, tmp_path: Path, capsys, content: str, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "dag.py").write_text(content)
    images("build", str(tmp_path / "dag.py"), *words, code=1)
    assert said in capsys.readouterr().err


def test_prune_removes_what_is_old_and_unused(images: Workshop) -> None:
    used, old = images.build("# 1\n", age=50 * DAY), images.build("# 2\n", age=40 * DAY)
    young, newest = images.build("# 3\n", age=20 * DAY), images.build("# 4\n", age=10 * DAY)
    images.desk.submit_and_start(container_image=str(images.desk.platform / "environments" / used))

    judged = images("prune", "--dry-run")

    assert [(row["tag"], row["action"], row["outcome"]) for row in judged] == [
        (newest, "keep", None),
        (young, "keep", None),
        (old, "remove", None),
        (used, "keep", None),
    ]
    assert [row["why"] for row in judged] == ["among the newest", "not old enough", "old and unused", "a job uses it"]
    assert len(images.tags()) == 4
    pruned = images("prune")
    assert [row["outcome"] for row in pruned] == [None, None, "removed", None]
    assert images.tags() == [newest, young, used]
    assert not (images.desk.platform / "environments" / ".builds" / old).exists()


def test_prune_keeps_as_many_of_each_category_as_it_is_told(images: Workshop) -> None:
    tags = [images.build(f"# {n}\n", category, age=n * DAY) for category in ("cpu", "gpu") for n in (1, 2, 3)]
    images("prune", "--older-than", "0s", "--keep", "2")
    assert sorted(images.tags()) == sorted(tags[:2] + tags[3:5])


def test_a_job_on_another_cluster_of_this_machine_uses_its_image_too(images: Workshop, monkeypatch) -> None:
    tag = images.build(age=50 * DAY)
    connection = json.loads(os.environ["AIRFLOW_CONN_KINETIC_DEFAULT"])
    with monkeypatch.context() as elsewhere:
        there = {**connection, "extra": {**connection["extra"], "cluster": "night"}}
        elsewhere.setenv("AIRFLOW_CONN_KINETIC_DEFAULT", json.dumps(there))
        images.desk.submit_and_start(container_image=str(images.desk.platform / "environments" / tag))
    (row,) = images("prune", "--keep", "0")
    assert (row["why"], images.tags()) == ("a job uses it", [tag])


def test_an_image_that_is_being_built_anew_is_left_alone(images: Workshop) -> None:
    tag = images.build(age=50 * DAY)
    lock = try_lock(images.desk.platform / "environments" / ".locks" / tag)
    assert lock is not None
    (row,) = images("prune", "--keep", "0", code=1)
    assert row["outcome"].startswith("failed: ")
    os.close(lock)
    assert images.tags() == [tag]


def test_what_is_no_tag_is_not_deleted(images: Workshop) -> None:
    delete: Callable[[str], None] = images.builder.delete
    with pytest.raises(ConfigurationError, match="no tag of an image"):
        delete("../../elsewhere")
    delete("cpu-000000000000")  # absent is fine
