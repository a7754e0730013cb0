"""One Airflow for all live tests, with every run under way before the first test looks at its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Live, Task

from demo.place import Place

ENV = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__KINETIC__POLL_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies here is for one process: others would start an Airflow each."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("live"))


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("live")
    if "PYTEST_XDIST_WORKER" in os.environ:
        (root.parent.parent / "one live Airflow").mkdir()  # there if another process has one: the groups did not hold
    place = Place(root, Path(__file__).parent / "dags")
    try:
        with place.airflow(print, ENV) as airflow:
            yield Live(airflow, root)
    finally:
        place.end_jobs(0)


@pytest.fixture(scope="session")
def runs(live: Live) -> dict[str, list[Task]]:
    """Task instances by what will happen to them."""
    return {
        "worker killed": live.start("waiting", "worker killed"),
        "scheduler killed": live.start("waiting", "scheduler killed"),
        "waiting, cleared": live.start("waiting", "waiting, cleared"),
        "waiting, failed": live.start("waiting", "waiting, failed"),
        "timed out": live.start("limited", "timed out"),
        "cleared": live.start("deferred", "cleared"),
        "failed": live.start("deferred", "failed"),
        "succeeded": live.start("deferred", "succeeded"),
        "run failed": live.start("deferred", "run failed"),
        "mapped": live.start("mapped", "mapped", names=("a", "b", "c")),
        "sensed": live.start("sensed", "sensed", task_id="sensor"),
        "observed": live.start("deferred", "observed"),
    }
