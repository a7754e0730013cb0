"""The pages behind the links, in Airflow's own API server."""

from __future__ import annotations

import html
import os
import re
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from fastapi.routing import APIRoute
from markupsafe import escape

from airflow_provider_kinetic.lifecycle import cleanup
from airflow_provider_kinetic.links.pages import page_path
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.plugin.app import make_app
from airflow_provider_kinetic.plugin.handles import TaskKey

KEY = TaskKey("training", "scheduled__2026-01-01T00:00:00+00:00", "models.train")
PAGES = ("job", "logs", "outputs", "api/job")
HOSTILE = "<script>alert('owned')</script>"


def at(page: str, key: TaskKey = KEY, **query: object) -> str:
    return "/kinetic" + page_path(key, page, **query)


def download(path: str) -> str:
    return at("outputs").replace("?", "/file?", 1) + f"&path={quote(path, safe='')}"


def train(text: str = "step 1\nstep 2") -> float:
    print(text)
    folder = Path(os.environ["KINETIC_OUTPUT_DIR"].removeprefix("file://"))
    (folder / "checkpoints" / "7").mkdir(parents=True)
    (folder / "checkpoints" / "7" / "state").write_bytes(b"x" * 2048)
    (folder / "model card.html").write_text("<b>good</b>")
    return 0.5


def fail() -> None:
    raise ValueError(HOSTILE)


def wait_for(path: str) -> None:
    print("waiting", flush=True)
    while not Path(path).exists():
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished_job(lasting_jobs) -> JobHandle:
    return lasting_jobs.finished(train)


@pytest.fixture
def trained(server, finished_job) -> JobHandle:
    """A job that ended well, behind the page. Many tests look at it: change nothing."""
    server.push(finished_job.to_dict())
    return finished_job


@pytest.fixture
def folder(trained) -> Path:
    """Its outputs."""
    return Path(trained.output_dir.removeprefix("file://"))


# Who may look.


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
@pytest.mark.parametrize("page", PAGES)
def test_only_who_may_see_the_task_sees_its_job(server, trained, page, role, status):
    server.sign_in(role)

    answer = server.get(at(page))

    assert answer.status_code == status
    assert (trained.job_id in answer.text or trained.output_dir in answer.text or "step 2" in answer.text) == (
        status == 200
    )


def test_no_route_is_open(server):
    """Also one that is added later, and none of FastAPI's own."""
    server.sign_in(None)
    routes = make_app().routes

    assert routes
    for route in routes:
        assert isinstance(route, APIRoute), route
        path = re.sub(r"\{\w+\}", "x", route.path)
        assert server.get(f"/kinetic{path}", params={"path": "x"}).status_code == 401, path


def test_who_is_not_signed_in_is_shown_the_way_back_here(server):
    server.sign_in(None)

    link = re.search(r'href="([^"]*login[^"]*)"', server.get(at("job")).text)

    assert link
    answer = server.get(html.unescape(link[1]))
    assert answer.status_code == 307
    assert "next=http" in answer.headers["location"]


# Which job.


def test_without_a_job_the_page_says_so(server):
    page, answer = server.get(at("job")), server.get(at("api/job"))

    assert (page.status_code, answer.status_code) == (404, 404)
    assert "No job was submitted yet" in page.text
    assert "/tasks/models.train" in page.text, "the way back"
    assert answer.json()["detail"] == "No job was submitted yet"


def test_a_mapped_task_instance_has_its_own_job(server, finished_job):
    server.push(finished_job.to_dict(), map_index=2)

    assert server.get(at("api/job", replace(KEY, map_index=2))).status_code == 200
    assert server.get(at("api/job")).status_code == 404


@pytest.mark.parametrize("index", ["-1", "%7BMAP_INDEX%7D", "", "undefined"])
def test_a_map_index_that_is_no_number_means_not_mapped(server, trained, index):
    answer = server.get(at("api/job").partition("?")[0] + f"?map_index={index}")

    assert answer.json()["job_id"] == trained.job_id


@pytest.mark.usefixtures("trained")
def test_every_link_of_a_page_leads_somewhere(server):
    """Run ids with ``+`` and ``:`` and task ids with dots survive the way out and back."""
    for page in ("job", "logs", "outputs"):
        text = server.get(at(page)).text
        links = {html.unescape(link) for link in re.findall(r'href="([^"]+)"', text)}
        ours = {link for link in links if link.startswith("/kinetic/")}
        assert {link.partition("?")[0].split("/")[2] for link in ours} == {"job", "logs", "outputs"}
        assert [server.get(link).status_code for link in sorted(ours)] == [200] * len(ours)
        back = links - ours
        assert back == {"/dags/training/runs/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/models.train"}


def test_a_key_keeps_every_character(server):
    """A path part is quoted once, and comes back whole."""
    key = TaskKey("a.b", "manual__ü é?#%2F+&=~", "g.t-1", 3)
    path = urlsplit(page_path(key, "job"))
    assert path.query == "map_index=3"
    assert path.path.count("/") == 4
    assert server.get("/kinetic" + page_path(key, "job")).status_code == 404
    assert not path.fragment


# What the pages show.


def test_the_job_page_tells_the_whole_story(server, trained):
    job, page = server.get(at("api/job")).json(), server.get(at("job"))

    assert (job["state"], job["func_name"], job["accelerator"], job["message"]) == ("SUCCEEDED", "train", "cpu", "")
    assert job["submitted_by"] == {
        "dag_id": KEY.dag_id,
        "run_id": KEY.run_id,
        "task_id": KEY.task_id,
        "map_index": -1,
        "try_number": 1,
    }
    (attempt,) = job["attempts"]
    assert (attempt["number"], attempt["state"], attempt["resumed_from_step"], attempt["last_step"]) == (
        1,
        "COMPLETED",
        None,
        7,
    )
    assert job["digests"]["payload.pkl"] == trained.payload_sha256
    for fact in (trained.job_id, trained.output_dir, trained.result_uri, trained.payload_sha256, KEY.run_id):
        assert escape(fact) in page.text
    assert 'http-equiv="refresh"' not in page.text


def test_a_retry_shows_what_it_resumed_from(server, jobs):
    """Two jobs wrote to one output directory."""
    first = jobs.finished(train)
    second = jobs.finished(fail)
    assert second.output_dir != first.output_dir, "the first one is complete"
    third = jobs.finished(fail)
    assert third.output_dir == second.output_dir
    server.push(third.to_dict())

    attempts = server.get(at("api/job")).json()["attempts"]

    assert [(one["number"], one["mine"], one["state"]) for one in attempts] == [
        (1, False, "FAILED"),
        (2, True, "FAILED"),
    ]


def test_a_failed_job_says_why_and_what_to_do(server, jobs):
    server.push(jobs.finished(fail).to_dict())

    job = server.get(at("api/job")).json()

    assert (job["state"], job["reason"]) == ("FAILED", "UserCode")
    assert job["message"] == job["attempts"][0]["error"] == f"ValueError: {HOSTILE}"
    assert "raised" in job["advice"]


def test_a_cancelled_job_says_who_did_it(server, jobs, tmp_path):
    handle = jobs.submit(wait_for, str(tmp_path / "never"))
    server.push(handle.to_dict())
    cleanup.cancel(jobs.ports, handle, by="the test", wait=10)

    job = server.get(at("api/job")).json()

    assert (job["state"], job["reason"]) == ("NOT_FOUND", "Cancelled")
    assert "the test" in job["message"]


def test_after_the_clean_up_everything_is_still_there(server, jobs):
    handle = jobs.finished(train)
    server.push(handle.to_dict())
    before = server.get(at("api/job")).json()
    cleanup.clean(jobs.ports, handle, by="the test")

    assert server.get(at("api/job")).json() == before
    assert "step 2" in server.get(at("logs")).text
    assert "model card.html" in server.get(at("outputs")).text


def test_a_running_job_is_followed_until_its_end(server, jobs, tmp_path):
    handle = jobs.submit(wait_for, str(tmp_path / "go"))
    server.push(handle.to_dict())
    jobs.until(lambda: "waiting" in server.get(at("logs")).text)

    for page in ("job", "logs"):
        assert 'http-equiv="refresh"' in server.get(at(page)).text
    assert 'http-equiv="refresh"' not in server.get(at("logs", follow=0)).text
    assert server.get(at("api/job")).json()["attempts"][0]["state"] == "RUNNING"

    (tmp_path / "go").touch()
    jobs.until(lambda: 'http-equiv="refresh"' not in server.get(at("logs")).text)
    assert server.get(at("api/job")).json()["state"] == "SUCCEEDED"


def test_the_log_page_shows_the_end_and_the_download_has_all(server, jobs):
    server.push(jobs.finished(train, "\n".join(f"line {number}." for number in range(3000))).to_dict())

    page, whole = server.get(at("logs")).text, server.get(at("logs", download=1))

    assert "line 2999." in page
    assert "line 0." not in page
    assert [line for line in whole.text.splitlines() if line.startswith("line ")] == [
        f"line {number}." for number in range(3000)
    ]
    assert whole.headers["content-disposition"].startswith("attachment")


def test_colours_of_a_terminal_are_left_out_of_the_page(server, jobs):
    server.push(jobs.finished(train, "\x1b[1;32mgreen\x1b[0m apple \x1b]0;title\x07end").to_dict())

    page = server.get(at("logs")).text

    assert "green apple end" in page


# Outputs.


@pytest.mark.usefixtures("trained")
def test_outputs_are_listed_and_downloaded_whole(server):
    page = server.get(at("outputs")).text
    assert "2.0 KiB" in page
    assert page.index("checkpoints/") < page.index("Records of Kinetic") < page.index(".kinetic/")
    links = [html.unescape(link) for link in re.findall(r'href="(/kinetic/outputs/[^"]*path=[^"]*)"', page)]

    answers = {server.get(link).headers["content-disposition"]: server.get(link).content for link in links}

    assert answers["attachment; filename*=UTF-8''state"] == b"x" * 2048
    assert answers["attachment; filename*=UTF-8''model%20card.html"] == b"<b>good</b>"


@pytest.mark.usefixtures("trained")
def test_a_file_of_a_job_is_never_shown_as_a_page(server):
    """It would run on Airflow's own origin with the rights of whoever looks."""
    answer = server.get(download("model%20card.html"))

    assert answer.content == b"<b>good</b>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "checkpoints/../../secret",
        "%2e%2e/secret",
        "%252e%252e/secret",
        "/secret",
        "",
        "checkpoints",
        "link",
    ],
)
def test_nothing_outside_of_the_output_directory_can_be_downloaded(server, folder, path):
    (folder.parent / "secret").write_text("s3cret")
    with suppress(FileExistsError):
        (folder / "link").symlink_to(folder.parent / "secret")

    answer = server.get(download(path))

    assert answer.status_code == 404
    assert "s3cret" not in answer.text


def test_a_forged_handle_opens_no_folder(server, trained, tmp_path):
    """XComs can be written by people who may not read the files of this machine."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "airflow.cfg").write_text("fernet_key")
    server.push({**trained.to_dict(), "output_dir": f"file://{tmp_path}/private"})
    assert "airflow.cfg" not in server.get(at("outputs")).text
    assert server.get(download("airflow.cfg")).status_code == 404

    server.push({**trained.to_dict(), "job_id": "../../../private"})
    assert server.get(at("logs")).status_code == 404


def test_logs_cannot_be_read_as_outputs(server, trained, folder):
    """They need a permission of their own."""
    chunk = f".kinetic/jobs/{trained.job_id}/logs/0001-00000001.log"
    assert (folder / chunk).exists()

    assert "00000001.log" not in server.get(at("outputs")).text
    assert server.get(download(chunk)).status_code == 404


# What jobs say is text.


def test_whatever_a_job_says_is_shown_as_text(server, jobs):
    handle = jobs.finished(train, HOSTILE)
    server.push({**handle.to_dict(), "func_name": HOSTILE, "accelerator": HOSTILE, "image_uri": HOSTILE})
    folder = Path(handle.output_dir.removeprefix("file://"))
    (folder / "<script>x").write_text("")

    for page in ("job", "logs", "outputs"):
        answer = server.get(at(page))
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert escape(HOSTILE) in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_error_of_a_job_is_shown_as_text(server, jobs):
    server.push(jobs.finished(fail).to_dict())

    page = server.get(at("job")).text

    assert "<script" not in page
    assert escape(HOSTILE) in page


def test_no_secret_is_shown(server, jobs):
    handle = jobs.finished(train, secrets={"API_TOKEN": "v3ry-s3cret"})
    server.push(handle.to_dict())

    assert not any("v3ry-s3cret" in server.get(at(page)).text for page in PAGES)


# Trouble.


def test_a_platform_that_cannot_be_reached_is_explained(server, trained):
    server.push({**trained.to_dict(), "output_dir": "s3://elsewhere/x"})

    page, answer = server.get(at("job")), server.get(at("api/job"))

    assert (page.status_code, answer.status_code) == (503, 503)
    assert "file://" in answer.json()["detail"]
    assert answer.json()["advice"]


def test_a_handle_that_is_none_is_no_job(server):
    server.push("a reference of some XCom backend")

    assert server.get(at("job")).status_code == 404
