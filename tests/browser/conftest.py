"""A finished run in a real Airflow, and a real browser to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Live, Task
from playwright.sync_api import BrowserContext, sync_playwright

from demo.place import Place
from demo.standalone import USERNAME

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A browser that asks nobody but the page's own server, and starts as root."""


@pytest.fixture(scope="session")
def chromium() -> str:
    if CHROMIUM is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    return CHROMIUM


@pytest.fixture(scope="session")
def trained(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Task]]:  # noqa: ARG001
    """The task whose job has trained."""
    root = tmp_path_factory.mktemp("browser")
    place = Place(root, Path(__file__).parent / "dags")
    try:
        with place.airflow(print, {"AIRFLOW__KINETIC__POLL_INTERVAL": "1"}) as airflow:
            live = Live(airflow, root)
            [task] = live.start("retrain", "run", task_id="train")
            task.wait("success", "failed")
            yield live, task
    finally:
        place.end_jobs(0)


@pytest.fixture(scope="session")
def browser(chromium: str, trained: tuple[Live, Task]) -> Iterator[BrowserContext]:
    """Signed in through the form, as a person."""
    airflow = trained[0].airflow
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        context = chrome.new_context(viewport={"width": 1400, "height": 900}, base_url=airflow.base_url)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto("/")
        page.locator("input[name=username]").fill(USERNAME)
        page.locator("input[name=password]").fill(airflow.password)
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda url: "/login" not in url)
        page.close()
        yield context
        chrome.close()
