"""What is saved of a trial, as anybody sees it who reads its records.

A checkpoint exists exactly when its commit record does. It counts when no deletion has begun and the attempt that
saved it belongs to the trial's story (``lineage``). Records are read with suspicion: one that is cut off, or of a
newer version, is passed over with a warning and the next older one is used (``checkpointing`` 4, row 11).
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectMissing, Storage
from airflow_provider_kinetic.job.training.lineage import Lineage, Name
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.job.vaults import Vault

THREADS = 16
SHORT = 8 << 10
"""Bytes of a manifest, some thirty files, that a commit record takes in."""
KINETIC = "kinetic"
ORBAX = "orbax"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Checkpoint:
    """One that is complete. It is a value: what was deleted since is found out when it is used."""

    step: int
    """So many steps were completed: go on with ``step + 1``."""
    uri: str
    attempt: int = 0
    """0 where it is not known, as of Orbax."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What was given to ``save``; NaN and infinities are the texts of JavaScript."""
    bytes: int = 0
    files: int = 0
    created: str = ""
    """UTC, to the second, by the clock of the machine that saved it."""
    kind: str = KINETIC
    """Or ``"orbax"``: a step that Orbax keeps beside ours."""
    manifest_sha256: str = ""
    manifest: str = field(default="", repr=False, compare=False)
    """What it consists of, where that is short enough for its record: then restoring it begins with the files."""
    path: Path | None = None
    """Folder on this machine that holds the files, while it is restored."""

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def layout(self) -> TrialLayout:
        return TrialLayout(self.uri.rpartition("/checkpoints/")[0])

    @contextlib.contextmanager
    def open(self) -> Iterator[Path]:
        """The files, as :meth:`download` gives them, in a folder that is removed afterwards."""
        from airflow_provider_kinetic.job.training.restoring import Restorer

        with Restorer(self.uri).restored([self], strict=True) as found:
            assert found is not None
            assert found.path is not None
            yield found.path

    def download(self, directory: Path | str) -> Path:
        """The verified files in ``directory``, which is made. Of Orbax's, sizes are all that there is to compare.

        :raises CheckpointCorrupt: a file is gone or changed, or all of it was deleted.
        """
        from airflow_provider_kinetic.job.training.restoring import Restorer

        return Restorer(self.uri).download(self, Path(directory))

    def pin(self) -> None:
        """Retention leaves it alone from now on.

        :raises ConfigurationError: it is Orbax's; so do :meth:`unpin` and :meth:`delete`.
        :raises CheckpointCorrupt: it was deleted.
        """
        from airflow_provider_kinetic.job.training.retention import pin

        pin(self._ours(), self)

    def unpin(self) -> None:
        self._ours().delete(self.layout.pin(self.name))

    def delete(self) -> None:
        from airflow_provider_kinetic.job.training.retention import delete

        delete(self._ours(), self.layout, self.name)

    def _ours(self) -> Vault:
        """Where it lies, when it is for us to decide what becomes of it."""
        from airflow_provider_kinetic.job.vaults import open_vault

        if self.kind != KINETIC:
            raise ConfigurationError(
                f"{self.uri} belongs to Orbax, whose CheckpointManager decides what is kept.",
                advice="Keep it with the manager's preservation policy, delete it with the manager, or download() it.",
            )
        return open_vault(self.uri)


@dataclass(frozen=True)
class Survey:
    """The records of a trial at one moment, by name only."""

    starts: Mapping[int, Mapping[str, Any]]
    """Start records by number; empty for one that cannot be read."""
    commits: frozenset[Name]
    tombstones: frozenset[Name]

    def visible(self) -> list[Name]:
        """Checkpoints that count, in the order of saving."""
        lineage = Lineage.of(self.starts)
        found = (name for name in self.commits - self.tombstones if lineage.shows(name))
        return sorted(found, key=lambda name: name.age)


def survey(storage: Storage, layout: TrialLayout, known: dict[int, Mapping[str, Any]] | None = None) -> Survey:
    """Two round trips whatever the length of the story; one where all start records are ``known``.

    :param known: start records by number, of which some may still have to be read; those that are read are added.
        They count also where a listing that lags behind does not show them.
    """
    known = {} if known is None else known
    prefixes = (layout.attempts, layout.commits, layout.tombstones)
    attempts, commits, tombstones = in_parallel(storage.list, prefixes)
    numbers = known.keys() | {int(stem) for stem, _ in _stems(attempts) if stem.isdecimal()}
    fresh = [number for number in numbers if not known.get(number)]
    records = in_parallel(lambda number: read_record(storage, layout.attempt(number)), fresh)
    known.update((number, record) for number, record in zip(fresh, records) if record)
    return Survey({number: known.get(number, {}) for number in numbers}, names_of(commits), names_of(tombstones))


def names_of(uris: Iterable[str]) -> frozenset[Name]:
    """Of records in a listing."""
    return frozenset(name for stem, _ in _stems(uris) if (name := Name.parse(stem)))


def numbered(vault: Vault, layout: TrialLayout, attempt: int) -> int:
    """The highest number that a former life of this attempt has given a checkpoint, whatever became of it."""
    looks: Sequence[Callable[[], Collection[Name]]] = (
        lambda: names_of(vault.list(layout.commits)),
        lambda: names_of(vault.list(layout.tombstones)),
        lambda: names_of(f"{folder}.json" for folder in vault.folders(layout.checkpoints)),
    )
    found = in_parallel(lambda look: look(), looks)
    return max((name.seq for names in found for name in names if name.attempt == attempt), default=0)


class Commits:
    """Reads commit records, each once: they never change."""

    def __init__(self, storage: Storage, layout: TrialLayout) -> None:
        self._storage = storage
        self._layout = layout
        self._known: dict[Name, Checkpoint | None] = {}

    def add(self, name: Name, checkpoint: Checkpoint) -> None:
        self._known[name] = checkpoint

    def only(self, names: Collection[Name]) -> None:
        """Forget all others: they are gone, and there are many in a long attempt."""
        for name in self._known.keys() - names:
            self._known.pop(name, None)

    def get(self, name: Name) -> Checkpoint | None:
        """None when it is gone or cannot be used."""
        with contextlib.suppress(KeyError):
            return self._known[name]
        found = None
        try:
            found = self.read(name)
        except ObjectMissing:
            return None  # deleted meanwhile
        except (ValueError, TypeError, KeyError) as error:
            uri = self._layout.commit(str(name))
            warnings.warn(f"The checkpoint {uri} cannot be used and is passed over: {error}", stacklevel=2)
        self._known[name] = found
        return found

    def read(self, name: Name) -> Checkpoint:
        """:raises ObjectMissing: it is gone. Also ValueError, TypeError and KeyError: it cannot be used."""
        record = json.loads(self._storage.read(self._layout.commit(str(name))))
        return commit_of(record, name, self._layout)

    @property
    def known(self) -> Checkpoint | None:
        """The one saved last of those that were read; it may be gone."""
        usable = [(name.age, found) for name, found in list(self._known.items()) if found]
        return max(usable, key=lambda each: each[0])[1] if usable else None

    def newest(self, names: Sequence[Name]) -> Iterator[Checkpoint]:
        """Those that can be used, latest first, read one by one."""
        return (found for name in reversed(names) if (found := self.get(name)))

    def all(self, names: Sequence[Name]) -> list[Checkpoint]:
        return [found for found in in_parallel(self.get, names) if found]


def commit_of(record: Mapping[str, Any], name: Name, layout: TrialLayout) -> Checkpoint:
    """:raises ValueError: of a newer version, or not of this checkpoint. Also KeyError and TypeError."""
    if record["v"] != protocol.VERSION:
        raise ValueError(f"version {record['v']!r} is not known")
    if record["name"] != str(name):
        raise ValueError(f"it is the record of {record['name']!r}")
    return Checkpoint(
        step=name.step,
        uri=layout.data(str(name)),
        attempt=name.attempt,
        metadata=dict(record["metadata"]),
        bytes=int(record["bytes"]),
        files=int(record["files"]),
        created=str(record["created"]),
        manifest_sha256=str(record["manifest_sha256"]),
        manifest=str(record.get("manifest", "")),
    )


def record_of(checkpoint: Checkpoint, name: Name, nonce: str) -> dict[str, Any]:
    """The commit record."""
    return {
        "v": protocol.VERSION,
        "name": str(name),
        "step": name.step,
        "attempt": name.attempt,
        "metadata": dict(checkpoint.metadata),
        "bytes": checkpoint.bytes,
        "files": checkpoint.files,
        "created": checkpoint.created,
        "kind": checkpoint.kind,
        "manifest_sha256": checkpoint.manifest_sha256,
        **({"manifest": checkpoint.manifest} if checkpoint.manifest else {}),
        "nonce": nonce,
    }


def deleted(checkpoint: Checkpoint) -> CheckpointCorrupt:
    """To be raised, where somebody asks for one that is no longer there."""
    ours, theirs = "Pin what must stay, or keep more with `keep=`.", "Keep more with its CheckpointManager's options."
    return CheckpointCorrupt(
        f"The checkpoint of step {checkpoint.step}, {checkpoint.uri}, was deleted.",
        advice=ours if checkpoint.kind == KINETIC else theirs,
    )


def at(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """The same, with its files on this machine."""
    return replace(checkpoint, path=path)


def read_record(storage: Storage, uri: str) -> dict[str, Any] | None:
    """None when it is missing or not a JSON object."""
    try:
        parsed = json.loads(storage.read(uri))
    except (ObjectMissing, ValueError):
        return None
    return parsed if isinstance(parsed, dict) else None


def in_parallel(call: Callable[[T], R], items: Sequence[T], threads: int = THREADS) -> list[R]:
    """Results in the order of the items; a single one is called right here.

    One after the other while the interpreter ends: then no thread begins any more, and the last save still counts.
    """
    if len(items) < 2:
        return [call(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        try:
            futures = [pool.submit(call, item) for item in items]
        except RuntimeError:  # of the pool alone: what a call raises stays in its future
            futures = []
        results = [future.result() for future in futures]
    return results if futures else [call(item) for item in items]


def _stems(uris: Iterable[str]) -> Iterator[tuple[str, str]]:
    for uri in uris:
        if uri.endswith(".json"):
            yield uri.rpartition("/")[2][: -len(".json")], uri
