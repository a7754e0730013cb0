"""What a person sees of a job: in Airflow's own pages of the task, and in those behind its links.

Every test leaves a picture ``{name}.png`` in its own temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live import Live, Task
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
Trained = tuple[Live, Task]
Show = Callable[[Page, str, int], None]

expect.set_options(timeout=60_000)


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Keep a picture of a page under a name, in a window so many pixels high."""

    def keep(page: Page, name: str, height: int) -> None:
        page.set_viewport_size({"width": 1400, "height": height})
        page.wait_for_timeout(500)  # lists draw themselves anew
        page.screenshot(path=tmp_path / f"{name}.png")

    return keep


@pytest.fixture
def task(trained: Trained) -> Task:
    return trained[1]


def _address(task: Task, tab: str = "") -> str:
    return f"/dags/{task.dag_id}/runs/{task.run_id}/tasks/{task.task_id}{tab}"


def test_the_task_log_has_the_output_of_the_job(page: Page, task: Task, show: Show) -> None:
    page.goto(_address(task))
    expect(page.get_by_text("step 1 of 12: loss").first).to_be_attached()
    expect(page.get_by_text("step 12 of 12: loss").first).to_be_attached()
    show(page, "task-log", 790)


def test_xcom_has_the_value_and_names_the_job(page: Page, task: Task, show: Show) -> None:
    page.goto(_address(task, "/xcom"))
    for key in ("return_value", "job_id", "result_uri", "output_dir", "kinetic_job"):
        expect(page.get_by_text(key, exact=True).first).to_be_visible()
    expect(page.get_by_text(task.xcom("job_id")).first).to_be_visible()
    show(page, "xcom", 1080)


@pytest.mark.parametrize(
    ("link", "name", "texts"),
    [
        ("Kinetic job", "job", ["train()", "Succeeded", "tpu-v5litepod-4", "SHA-256 of payload.pkl"]),
        ("Job logs", "job-logs", ["step 1 of 12: loss", "step 12 of 12: loss"]),
        ("Outputs", "job-outputs", ["checkpoints/", "Records of Kinetic"]),
    ],
)
def test_a_link_of_the_task_opens_its_page(
    page: Page, task: Task, show: Show, link: str, name: str, texts: list[str]
) -> None:
    page.goto(_address(task, "/details"))
    page.get_by_text(link, exact=True).click()
    page.wait_for_url("**/kinetic/**")
    for text in texts:
        expect(page.get_by_text(text).first).to_be_visible()
    show(page, name, 630)
