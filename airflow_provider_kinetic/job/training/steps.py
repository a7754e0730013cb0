"""Which checkpoint a start will continue from, as far as it can be seen from outside of the user's code.

Native Orbax steps are directories named by an integer, in the output directory itself or in ``checkpoints`` below it.
On an object store a step counts once its ``commit_success.txt`` is there; on a file system Orbax renames a finished
directory, so the name alone says it (``checkpointing`` 1.2, 3.9). Users may have numbered folders of their own beside
``checkpoints``, so there a step has a file that Orbax alone writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Entry, Storage
from airflow_provider_kinetic.job.training.checkpoints import in_parallel

MARKER = "commit_success.txt"
DESCRIPTION = "_CHECKPOINT_METADATA"


@dataclass(frozen=True)
class Checkpoint:
    """One committed step."""

    step: int
    uri: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def native_steps(storage: Storage, layout: TrialLayout) -> list[Checkpoint]:
    """The committed steps, lowest first. One round trip."""
    return steps_among((entry.uri for entry in files(storage, layout)), layout)


def files(storage: Storage, layout: TrialLayout) -> list[Entry]:
    """What lies where steps may be."""
    places = [(layout.checkpoints, False), (layout.output_dir, True)]
    found = in_parallel(lambda place: list(storage.tree(place[0], numbered=place[1])), places)
    return [entry for entries in found for entry in entries if not entry.is_folder]


def steps_among(uris: Iterable[str], layout: TrialLayout) -> list[Checkpoint]:
    """As :func:`native_steps`, of what is listed. One that is there twice is that of ``checkpoints``."""
    by_rename = layout.output_dir.startswith("file://")
    found: dict[int, str] = {}
    for uri in uris:
        folder, name, rest = parts(uri, layout)
        if not name.isdecimal() or not rest:
            continue
        below = folder == layout.checkpoints
        if rest == MARKER or (by_rename and (below or rest == DESCRIPTION)):
            step = int(name)
            found[step] = f"{folder}/{name}" if below else found.get(step, f"{folder}/{name}")
    return [Checkpoint(step, uri) for step, uri in sorted(found.items())]


def parts(uri: str, layout: TrialLayout) -> tuple[str, str, str]:
    """Of a file in a checkpoint: where that lies, the name of its folder, and the rest. Empty for any other file."""
    below = uri.startswith(f"{layout.checkpoints}/")
    folder = layout.checkpoints if below else layout.output_dir
    name, _, rest = uri[len(folder) + 1 :].partition("/")
    return (folder, name, rest) if below or name.isdecimal() else ("", "", "")


def newest_step(storage: Storage, layout: TrialLayout) -> Checkpoint | None:
    """The last of :func:`native_steps`, or None."""
    found = native_steps(storage, layout)
    return found[-1] if found else None
