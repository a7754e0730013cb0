"""The FastAPI app that Airflow mounts at ``/kinetic``: three pages, two downloads and the JSON of a job.

Airflow mounts it as it is, without any check of its own, so every route here is behind one of
:data:`GUARDS`, and a test walks over all of them. Routes are plain functions: FastAPI runs them in
threads, and a slow store never holds up the API server's loop.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.lifecycle.logs import chunks_after
from airflow_provider_kinetic.links import pages
from airflow_provider_kinetic.model.errors import KineticError
from airflow_provider_kinetic.model.handle import JobHandle
from airflow_provider_kinetic.plugin import outputs as files
from airflow_provider_kinetic.plugin import render
from airflow_provider_kinetic.plugin.handles import NoJob, TaskKey, belongs, handle_of
from airflow_provider_kinetic.plugin.view import look

LINES = 2000
"""Lines of the log that the page shows; the download has all."""

REFRESH = 5
"""Seconds after which the page of a job that runs is loaded again."""

KEY = "/{dag_id}/{run_id}/{task_id}"

GUARDS = {
    entity: Depends(requires_access_dag("GET", entity))
    for entity in (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.TASK_LOGS)
}
"""What a user must be allowed to see of the DAG: the same as for Airflow's own pages of a task instance."""

tasks = APIRouter(dependencies=[GUARDS[DagAccessEntity.TASK_INSTANCE]])
logs = APIRouter(dependencies=[GUARDS[DagAccessEntity.TASK_LOGS]])

Key = Annotated[TaskKey, Depends(TaskKey.of)]


def _handle(key: Key) -> JobHandle:
    return handle_of(key)


Handle = Annotated[JobHandle, Depends(_handle)]


def make_app() -> FastAPI:
    """A new app. It has no pages of documentation: they would be open to everybody."""
    app = FastAPI(title="Kinetic", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(tasks)
    app.include_router(logs)
    app.add_exception_handler(NoJob, _no_job)
    app.add_exception_handler(KineticError, _failed)
    app.add_exception_handler(HTTPException, _refused)
    return app


# The job.


@tasks.get("/job" + KEY)
def job_page(request: Request, key: Key, handle: Handle) -> Response:
    job = look(handle)
    refresh = None if job.terminal else REFRESH
    return render.page(request, key, pages.JOB, title=f"{job.func_name}()", job=job, refresh=refresh)


@tasks.get("/api/job" + KEY)
def job_json(request: Request, key: Key, handle: Handle) -> dict[str, Any]:
    return {**look(handle).to_dict(), "links": render.links(request, key)}


# Its logs.


@logs.get("/logs" + KEY)
def logs_page(request: Request, key: Key, handle: Handle, follow: bool = True, download: bool = False) -> Response:
    hook = KineticHook.of(handle)
    if download:
        return _attachment(StreamingResponse(_log(hook, handle), media_type="text/plain"), f"{handle.job_id}.log")
    readable = not handle.ours or belongs(hook.ports.store, handle)
    text = hook.logs(handle, tail=LINES) if readable else ""
    job = look(handle)
    return render.page(
        request,
        key,
        pages.LOGS,
        title=f"{job.func_name}()",
        job=job,
        text=render.without_escapes(text),
        capped=text.count("\n") + 1 >= LINES,
        lines=LINES,
        follow=follow and not job.terminal,
        refresh=REFRESH if follow and not job.terminal else None,
    )


def _log(hook: KineticHook, handle: JobHandle) -> Iterator[str]:
    """The whole log, a chunk at a time."""
    if not handle.ours:
        yield hook.logs(handle)
    elif belongs(hook.ports.store, handle):
        yield from (text for _, text in chunks_after(hook.ports.store, handle))


# Its outputs.


@tasks.get("/outputs" + KEY)
def outputs_page(request: Request, key: Key, handle: Handle) -> Response:
    store = KineticHook.of(handle).ports.store
    found = files.listing(store, handle.output_dir) if handle.output_dir and belongs(store, handle) else None
    job = look(handle)
    return render.page(request, key, pages.OUTPUTS, title=f"{job.func_name}()", job=job, outputs=found)


@tasks.get("/outputs" + KEY + "/file")
def output_file(handle: Handle, path: Annotated[str, Query()]) -> Response:
    store = KineticHook.of(handle).ports.store
    info = files.find(store, handle.output_dir, path) if handle.output_dir and belongs(store, handle) else None
    if info is None:
        raise HTTPException(404, "There is no such file in the outputs of this job.")
    name = files.for_people(info.uri, path.rpartition("/")[2])
    if info.uri.startswith("file://"):
        found = files.local_file(handle, info.uri)
        if found is None:
            raise HTTPException(404, "The file is a link to a place outside of the output directory.")
        return _attachment(FileResponse(found, media_type="application/octet-stream"), name)
    folder = tempfile.TemporaryDirectory(prefix="kinetic-download-")
    copy = Path(folder.name) / "file"
    store.download(info.uri, copy)
    response = FileResponse(copy, media_type="application/octet-stream", background=BackgroundTask(folder.cleanup))
    return _attachment(response, name)


def _attachment(response: Response, name: str) -> Response:
    """What a job wrote is never shown by the browser: it would act with the rights of whoever looks at it."""
    response.headers.update(render.attachment_headers(name))
    return response


# What goes wrong.


def _no_job(request: Request, _: Exception) -> Response:
    return _message(
        request,
        404,
        "No job was submitted yet",
        "This task instance has not submitted a Kinetic job, or not in its newest try. "
        "The page is there as soon as the job is.",
        refresh=REFRESH,
    )


def _failed(request: Request, error: Exception) -> Response:
    summary, advice = (error.summary, error.advice) if isinstance(error, KineticError) else (str(error), "")
    return _message(request, 503, summary, advice)


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    if status == 401:
        return _message(request, status, "You are not signed in", "", sign_in=True)
    if status == 403:
        return _message(request, status, "You may not look at this", "Your role does not cover tasks of this DAG.")
    return _message(request, status, detail, "")


def _message(request: Request, status: int, summary: str, advice: str, **given: Any) -> Response:
    if "/api/" in request.url.path:
        return JSONResponse({"detail": summary, "advice": advice}, status_code=status)
    return render.message(request, status, summary, advice, **given)
