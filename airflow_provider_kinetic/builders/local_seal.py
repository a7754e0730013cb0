"""What makes a folder a finished environment: ``kinetic-image.json``, written last and removed first.

A folder without it is what a killed build left: nobody uses it, and the next builder of the tag starts over.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.builders.environments import interpreter_of
from airflow_provider_kinetic.builders.local_record import Order
from airflow_provider_kinetic.job.storage import FileStorage, path_to_uri

METADATA = "kinetic-image.json"


def seal(environment: Path, order: Order, installer: str, seconds: float) -> None:
    """Write what the environment is; from now on it counts as finished."""
    metadata = {
        "tag": order.request.tag,
        **asdict(order.request),
        "packages": list(order.packages),
        "build_id": order.id,
        "installer": installer,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }
    FileStorage().write(path_to_uri(environment / METADATA), json.dumps(metadata, indent=1).encode())


def facts(environment: Path) -> dict[str, Any] | None:
    """What a finished environment says of itself; None where there is none.

    The interpreter is a link out of the environment: where its target was uninstalled, the environment is none.
    """
    try:
        found = json.loads((environment / METADATA).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and interpreter_of(environment).exists() else None


def remove(environment: Path) -> None:
    """The seal first: a removal that is interrupted must not leave a part that looks finished."""
    (environment / METADATA).unlink(missing_ok=True)
    shutil.rmtree(environment, ignore_errors=True)


def size_of(environment: Path) -> int:
    """Bytes of its files. uv shares them with its cache by hard links, so its removal may free less."""
    total = 0
    for folder, _, names in os.walk(environment):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 (30,000 files)
            except FileNotFoundError:
                continue
    return total
