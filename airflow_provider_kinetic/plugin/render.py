"""From values to HTML: Jinja2 with everything escaped, no script, and headers that allow none.

What is shown comes from jobs: names of functions, lines of logs, names of files. The templates escape
all of it, and the policy in the headers stops what an error in a template would let through.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse

from airflow_provider_kinetic.links import pages
from airflow_provider_kinetic.plugin.handles import TaskKey

if TYPE_CHECKING:
    from jinja2 import Environment

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


def page(request: Request, key: pages.TaskInstance, current: str, **given: Any) -> HTMLResponse:
    """One of the three pages; ``given`` is what its template needs."""
    text = (
        _templates()
        .get_template(f"{current}.html")
        .render(current=current, key=key, links=links(request, key), **given)
    )
    return HTMLResponse(text, headers=HEADERS)


def message(
    request: Request, status: int, summary: str, advice: str, *, sign_in: bool = False, **given: Any
) -> HTMLResponse:
    """A page that says why there is nothing else to see."""
    after = {"next": str(request.url)}
    link = f"{_ui(request)}/api/v2/auth/login?{urlencode(after)}" if sign_in else None
    text = (
        _templates()
        .get_template("message.html")
        .render(title=summary, advice=advice, sign_in=link, back=_back(request), **given)
    )
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def links(request: Request, key: pages.TaskInstance) -> dict[str, str]:
    """The pages of this task instance, the downloads, and the task instance itself, as paths on this server."""
    here = request.scope.get("root_path", "")
    return {
        **{name: here + pages.page_path(key, name) for name in (pages.JOB, pages.LOGS, pages.OUTPUTS)},
        "whole_log": here + pages.page_path(key, pages.LOGS, download=1),
        "still_log": here + pages.page_path(key, pages.LOGS, follow=0),
        "file": here + pages.page_path(key, pages.OUTPUTS).replace("?", "/file?", 1) + "&path=",
        "task": _ui(request) + pages.task_path(key),
    }


def _back(request: Request) -> str:
    """The task instance that the request was about, else the start page of Airflow."""
    try:
        return _ui(request) + pages.task_path(TaskKey.of(**request.path_params, **_index(request)))
    except TypeError:
        return _ui(request) + "/"


def _index(request: Request) -> dict[str, str]:
    return {"map_index": request.query_params["map_index"]} if "map_index" in request.query_params else {}


def _ui(request: Request) -> str:
    """Where Airflow's own UI begins, behind any proxy that Airflow knows of."""
    root: str = request.scope.get("root_path", "")
    return root.removesuffix(pages.PREFIX)


def attachment_headers(name: str) -> dict[str, str]:
    """Headers of a download."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def without_escapes(text: str) -> str:
    """A log without the colours and cursor movements that a terminal would understand."""
    return _ESCAPES.sub("", text)


def size(count: float) -> str:
    """``1.2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def moment(when: str | float | None) -> str:
    """``2026-01-31 12:00:00 UTC`` from ISO 8601 or Unix seconds; a dash for what is not known."""
    if not when:
        return "–"
    try:
        found = datetime.fromisoformat(when.replace("Z", "+00:00")) if isinstance(when, str) else _utc(when)
    except ValueError:
        return str(when)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC"


def duration(start: str | None, end: str | None) -> str:
    """``1 h 02 min`` between two moments in ISO 8601; until now where there is no end."""
    try:
        begin = datetime.fromisoformat(str(start).replace("Z", "+00:00"))
        finish = datetime.fromisoformat(end.replace("Z", "+00:00")) if end else datetime.now(UTC)
    except ValueError:
        return ""
    seconds = max(0, round((finish - begin).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("airflow_provider_kinetic.plugin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(size=size, moment=moment, part=lambda text: quote(text, safe=""))
    made.globals.update(duration=duration)
    return made
