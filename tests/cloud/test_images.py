"""Tasks of a cluster that name no image: built by Cloud Build, found again in Artifact Registry, run by the cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tasks
from cloud_shop import CloudShop
from google_apis_builds import Build, GoogleBuilds
from installation import TaskKey

from airflow_provider_kinetic.links.build import BUILD_LINK
from airflow_provider_kinetic.model.errors import ImageError, JobTimeout

KEY = TaskKey("shop", "job", "run_1")
REPOSITORY = "europe-docker.pkg.dev/acme/kn-trainer"
FUNCTION = "def f():\n    return 42"


class Registry(CloudShop):
    """The shop on a cluster, whose connection says where built images lie."""

    google: GoogleBuilds

    def task(self, source: str = FUNCTION, **options: Any) -> Any:
        return self.job(source, **{"container_image": None, "requirements": ["six"], **options})

    def ship(self, build: Build) -> None:
        """The build succeeds, and the cluster can pull its image."""
        if build["status"] == "QUEUED":
            self.google.work(build)
            return
        self.google.succeed(build)
        for image in build["images"]:
            self.cloud.add_image(image, sys.executable)

    def start(self, task: Any, key: TaskKey = KEY) -> None:
        """The first leg of a try."""
        self.db.queue(key, max_tries=task.retries or 0, operator=task.task_type)
        tasks.work(task, self.db, key)
        assert self.db.rows[key].state == "deferred"

    def take_away(self, act: Callable[[TaskKey], object], key: TaskKey = KEY) -> None:
        """As soon as its trigger has looked at the build."""

        def meanwhile() -> None:
            if self.db.rows[key].state == "deferred" and self.google.asked["builds.get"]:
                act(key)

        tasks.watch(self.db, key, meanwhile=meanwhile)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudShop]:
    with GoogleBuilds() as google, Registry.opened(tmp_path, monkeypatch) as shop:
        assert isinstance(shop, Registry)
        google.enter(monkeypatch, tmp_path)
        google.storage = shop.cloud.gcs
        shop.google = google
        shop.connect(project="acme", cluster="trainer", gcp_conn_id="gcp", build_repository=REPOSITORY)
        connection = {"conn_type": "google_cloud_platform", "extra": google.connection("submit@acme.example")}
        shop.db.connections["gcp"] = {**connection, "extra": json.dumps(connection["extra"])}
        monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps(connection))
        google.outcome = shop.ship
        yield shop


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_without_an_image_runs_in_the_one_that_is_built_for_it(shop: Registry, deferrable: bool) -> None:
    shop.task(deferrable=deferrable)
    result = shop.run()

    assert result.value == 42, result.log
    build = shop.google.only()
    assert result.xcoms["image"] in build["images"]
    assert result.xcoms["image"].startswith(REPOSITORY)
    assert result.xcoms["build_id"] == build["id"]
    assert result.xcoms["log_url"] == build["logUrl"]
    assert len(result.deferrals) == (1 if deferrable else 0)

    shop.google.asked.clear()
    again = shop.run(run_id="run_2")
    assert again.value == 42
    assert shop.google.asked["tags.get"] == 1
    assert shop.google.asked["builds.create"] == shop.google.asked["builds.get"] == 0


def test_a_build_task_makes_the_image_for_those_behind_it(shop: Registry) -> None:
    shop.write(
        """
from airflow_provider_kinetic import KineticBuildImageOperator

def f():
    return 42

with DAG('shop', schedule=None) as dag:
    build = KineticBuildImageOperator(
        task_id='build', category='cpu', requirements=['six'], build_tags=['team-a'], deferrable=True
    )
    build >> KineticRunOperator(
        task_id='job', python_callable=f, accelerator='cpu', requirements=['six'], deferrable=True, stop_grace=1
    )
"""
    )
    built = shop.run("build")
    assert built.value == shop.google.only()["images"][0], built.log
    assert "team-a" in shop.google.only()["tags"]
    assert len(built.deferrals) == 1
    result = shop.run("job")
    assert (result.value, result.xcoms["image"]) == (42, built.value), result.log
    assert len(shop.google.builds) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_build_is_told_with_its_last_lines_and_its_log(shop: Registry, deferrable: bool) -> None:
    shop.google.outcome = lambda build: shop.google.fail(build, "Collecting sixx", "ERROR: no such package: sixx")
    shop.task(deferrable=deferrable, retries=1)
    failed = shop.run()
    assert isinstance(failed.error, ImageError), failed.error
    assert "ERROR: no such package: sixx" in str(failed.error)
    assert shop.google.only()["logUrl"] in str(failed.error)
    assert shop.jobs == []

    shop.google.outcome = shop.ship
    assert shop.again(failed).value == 42
    assert [build["status"] for build in shop.google.builds.values()] == ["FAILURE", "SUCCESS"]


@pytest.mark.parametrize("action", ["clear", "failed"])
def test_a_task_that_is_taken_away_meanwhile_leaves_no_build_and_no_job(shop: Registry, action: str) -> None:
    shop.google.outcome = shop.google.work
    shop.start(shop.task(deferrable=True))
    assert shop.db.xcom(KEY, BUILD_LINK.xcom_key) == shop.google.only()["logUrl"]
    shop.take_away(shop.db.clear if action == "clear" else lambda key: shop.db.mark(key, "failed"))
    assert shop.google.only()["status"] == "CANCELLED"
    assert shop.jobs == []


def test_two_tasks_that_need_one_image_cause_one_build_and_one_survives_the_other(shop: Registry) -> None:
    shop.google.outcome = shop.google.work
    task, other = shop.task(deferrable=True), KEY._replace(run_id="run_2")
    shop.start(task)
    shop.start(task, other)
    assert len(shop.google.builds) == 1
    shop.take_away(lambda key: shop.db.mark(key, "failed"))
    assert [build["status"] for build in shop.google.builds.values()] == ["CANCELLED"]

    shop.google.outcome = shop.ship
    tasks.watch(shop.db, other)
    tasks.work(shop.load("job"), shop.db, other)
    assert shop.db.xcom(other) == 42
    assert [build["status"] for build in shop.google.builds.values()] == ["CANCELLED", "SUCCESS"]
    assert len(shop.jobs) <= 1


def test_the_tasks_time_is_over_while_its_image_is_built(shop: Registry) -> None:
    shop.google.outcome = shop.google.work
    shop.write(
        f"{FUNCTION}\n\nwith DAG('shop', schedule=None) as dag:\n"
        "    KineticRunOperator(task_id='job', python_callable=f, accelerator='cpu', requirements=['six'],\n"
        "        deferrable=True, execution_timeout=datetime.timedelta(seconds=1))\n"
    )
    result = shop.run()
    assert isinstance(result.error, JobTimeout), result.error
    assert shop.google.only()["status"] == "CANCELLED"
    assert shop.jobs == []


def test_a_repository_that_may_not_be_read_is_told_before_anything_is_sent(shop: Registry) -> None:
    shop.google.forbidden.add("artifactregistry.tags.get")
    shop.task(deferrable=True)
    result = shop.run()
    assert isinstance(result.error, ImageError), result.error
    assert "roles/artifactregistry" in str(result.error)
    assert (shop.artifacts, shop.google.builds) == ([], {})
