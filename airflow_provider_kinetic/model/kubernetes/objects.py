"""Reading objects of the API server that may lack anything.

Servers, versions and controllers leave fields out, and a status function that raises would blind every
observer of the cluster; so what is absent or of another type reads as empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def section(raw: Any, *path: str) -> Mapping[str, Any]:
    found = _at(raw, path)
    return found if _is_object(found) else {}


def entries(raw: Any, *path: str) -> list[Mapping[str, Any]]:
    """The objects in a list."""
    found = _at(raw, path)
    return [item for item in found if _is_object(item)] if isinstance(found, list | tuple) else []


def text(raw: Any, *path: str) -> str:
    found = _at(raw, path)
    return found if isinstance(found, str) else ""


def whole(raw: Any, *path: str) -> int | None:
    found = _at(raw, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(raw: Any, *path: str) -> float | None:
    """An RFC 3339 time as Unix seconds."""
    try:
        found = datetime.fromisoformat(text(raw, *path))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def condition(raw: Any, kind: str) -> Mapping[str, Any] | None:
    """The condition of that type if it holds."""
    held = (one for one in entries(raw, "status", "conditions") if text(one, "status") == "True")
    return next((one for one in held if text(one, "type") == kind), None)


def _is_object(raw: Any) -> bool:
    return type(raw) is dict or isinstance(raw, Mapping)  # the first is quick and nearly always so


def _at(raw: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not _is_object(raw):
            return None
        raw = raw.get(name)
    return raw
