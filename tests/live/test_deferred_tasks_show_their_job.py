"""Log, XComs and links of a task are there while its job runs."""

from __future__ import annotations

import httpx
import pytest
from live import Live, Task, eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]
Runs = dict[str, list[Task]]


def test_output_of_the_job_is_in_the_task_log(runs: Runs) -> None:
    [task] = runs["observed"]
    job = task.job(state="deferred")
    eventually(lambda: f"beat 3 of {job.job_id}" in task.log(), "the log has the job's fourth line")
    assert task.state() == "deferred"


def test_xcoms_name_the_job(runs: Runs) -> None:
    [task] = runs["observed"]
    job = task.job(state="deferred")
    assert task.xcom("job_id") == task.xcom("kinetic_job")["job_id"] == job.job_id
    assert task.xcom("output_dir").startswith("file://")
    assert task.xcom("result_uri").startswith(task.xcom("output_dir"))
    assert task.xcom() is None


def test_links_lead_to_pages_for_those_who_are_signed_in(runs: Runs, live: Live) -> None:
    [task] = runs["observed"]
    job = task.job(state="deferred")
    links = {name: url for name, url in task.links().items() if url}  # the others are of clusters; the UI hides them
    assert set(links) == {"Kinetic job", "Job logs", "Outputs"}
    token = httpx.post(
        f"{live.airflow.base_url}/auth/token",
        json={"username": "admin", "password": live.airflow.password},
        trust_env=False,
    ).json()["access_token"]
    for url in links.values():
        assert httpx.get(url, trust_env=False, timeout=60).status_code in (401, 403)
        answer = httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60)
        assert answer.status_code == 200
        assert job.job_id in answer.text or "beat" in answer.text
