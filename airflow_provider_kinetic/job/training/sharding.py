"""Checkpoints that several processes make together (``checkpointing`` 3.10).

Every process stores its own files under the checkpoint's name, which all of them know without a word, because all save
the same steps in the same order. Then each hands in a part: the list of what it stored. The leader waits for all parts
and makes one manifest and one commit record of them, as if it had stored everything itself. What does not fit
together, or does not come, is an error on every process and no checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training import manifests
from airflow_provider_kinetic.job.training.checkpoints import in_parallel, read_record
from airflow_provider_kinetic.job.training.hosts import ENV_PATIENCE, Group, patience, pauses
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.training.saving import METADATA, Draft, Saver, checked, describe, refuse_ours
from airflow_provider_kinetic.job.vaults import Vault

ALIKE = "Every process saves the same steps in the same order."
LOOK = 4
"""So many times is only the record looked for before anything else is."""


@dataclass(frozen=True)
class Part:
    """What one process stored."""

    process: int
    files: Sequence[File]
    metadata: Mapping[str, Any]

    def encode(self, nonce: str) -> bytes:
        files = [asdict(file) for file in self.files]
        return _encode({"nonce": nonce, "files": files, "metadata": dict(self.metadata)})

    @classmethod
    def decode(cls, process: int, record: Mapping[str, Any]) -> Part:
        """:raises RuntimeError: the process had none."""
        if "error" in record:
            raise RuntimeError(f"process {process} could not save its part: {record['error']}")
        files = [File(**{name: each[name] for name in File.__dataclass_fields__}) for each in record["files"]]
        return cls(process, files, record["metadata"])


class ShardedSaver(Saver):
    """Saves for one process of a group."""

    def __init__(self, group: Group, *args: Any) -> None:
        super().__init__(*args)
        self._group = group
        self._failed: list[Name] = []

    def _describe(self, draft: Draft) -> None:
        refuse_ours(draft)

    def _save(self, draft: Draft) -> None:
        process, folder = self._group.host.process, self._layout.data(str(draft.name))
        sending: list[Callable[[], Any]] = [partial(self.sender.send, draft.folder, folder)]
        if self._group.host.leads:
            sending.append(partial(self._tell, draft.name, {"begun": True}))
        files = [replace(file, host=process) for file in in_parallel(lambda call: call(), sending)[0]]
        part = Part(process, files, draft.metadata)
        if self._group.host.leads:
            self._assemble(draft, [part, *self._parts(draft.name)])
        else:
            self._hand_in(draft.name, part)

    def _given_up(self, name: Name, error: BaseException) -> None:
        """The others need not wait."""
        if self._group.host.leads:
            self._failed.append(name)
        with contextlib.suppress(Exception):
            self._tell(name, {"error": f"{type(error).__name__}: {error}"})

    def _tell(self, name: Name, content: Mapping[str, Any]) -> None:
        me = self._group.host.process
        self._vault.write(self._part(name, me), _encode({"nonce": self._group.nonce(me), **content}))

    def _part(self, name: Name, process: int) -> str:
        return f"{self._layout.parts(str(name))}p{process:04d}.json"

    # The leader

    def _assemble(self, draft: Draft, parts: Sequence[Part]) -> None:
        files = merged_files(parts)
        draft = replace(draft, metadata=checked(merged_metadata(parts)))
        if METADATA not in {file.path for file in files}:
            describe(draft)
            files.append(self.sender.send_one(draft.folder, self._layout.data(str(draft.name)), METADATA))
        self._complete(draft, files)
        self.later(lambda: self._clear(draft.name))

    def _parts(self, name: Name) -> list[Part]:
        """Of all others.

        :raises TimeoutError: some did not come.
        :raises RuntimeError: some could not be made.
        :raises ValueError: some save another step.
        """
        records: dict[int, Mapping[str, Any]] = {}
        begun = time.monotonic()
        for turn, pause in enumerate(pauses(), 1):
            there = set(self._vault.list(self._layout.parts(str(name))))
            came = [each for each in self._group.others if each not in records and self._part(name, each) in there]
            read = in_parallel(lambda each: self._read(name, each), came)
            records.update((each, record) for each, record in zip(came, read) if record)
            missing = [each for each in self._group.others if each not in records]
            failed = any("error" in record for record in records.values())
            if failed or turn % LOOK == 0:
                self._fence.check()
            if failed or not missing:
                return [Part.decode(each, record) for each, record in sorted(records.items())]
            if turn % LOOK == 0:
                self._compare(name, missing)
            if time.monotonic() - begun > patience():
                raise TimeoutError(
                    f"Nothing is saved of step {name.step}: process{'es' if len(missing) > 1 else ''} "
                    f"{', '.join(map(str, missing))} of {self._group.host.processes} handed in no part "
                    f"within {patience():g} seconds ({ENV_PATIENCE}). {ALIKE}"
                )
            time.sleep(pause)
        raise AssertionError

    def _compare(self, name: Name, missing: Sequence[int]) -> None:
        """Those who save another step now wait for a part of ours, as we do for theirs."""
        for other in _named(self._vault, self._layout):
            if (other.attempt, other.seq) != (name.attempt, name.seq) or other == name:
                continue
            for process in missing:
                if self._read(other, process) is not None:
                    error = ValueError(
                        f"process {process} saves step {other.step} while process 0 saves step {name.step}: nothing "
                        f"is saved. {ALIKE}"
                    )
                    self._given_up(other, error)
                    raise error

    def _read(self, name: Name, process: int) -> dict[str, Any] | None:
        """What a process of this life has written; former ones may have used the same name."""
        record = read_record(self._vault, self._part(name, process))
        return record if record and record.get("nonce") == self._group.nonce(process) else None

    def _clear(self, until: Name) -> None:
        """All processes have seen how these saves ended: each handed in a later part."""
        with contextlib.suppress(Exception):  # the next attempt finishes it
            for name in self._failed:
                self._vault.delete_tree(self._layout.data(str(name)))
            self._failed.clear()
            for name in _named(self._vault, self._layout):
                if name.attempt == until.attempt and name.seq <= until.seq:
                    self._vault.delete_tree(self._layout.parts(str(name)).rstrip("/"))

    # The others

    def _hand_in(self, name: Name, part: Part) -> None:
        """Returns when the checkpoint is complete.

        :raises RuntimeError: the leader has given it up.
        :raises TimeoutError: it is not there, or does not save this step.
        """
        in_parallel(lambda step: step(), [self._before, self._fence.check])
        self._vault.write(self._part(name, part.process), part.encode(self._group.nonce(part.process)))
        deadline, sign = time.monotonic() + patience(), 0
        for turn, pause in enumerate(pauses(), 1):
            if self._vault.entry(self._layout.commit(str(name))):
                return
            if turn % LOOK == 0:
                if self._over(name):
                    return
                beat = self._vault.entry(self._layout.heartbeat)
                if beat is not None and beat.updated != sign and self._read(name, 0):
                    deadline, sign = time.monotonic() + patience(), beat.updated
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"Process 0 gave no sign of life for {patience():g} seconds of saving step {name.step}. {ALIKE}"
                )
            time.sleep(pause)

    def _over(self, name: Name) -> bool:
        """Whether it was complete and is deleted already: parts are cleared away behind a commit alone.

        :raises RuntimeError: the leader has given it up.
        """
        self._fence.check()
        if self._vault.entry(self._part(name, self._group.host.process)) is None:
            return True
        record = self._read(name, 0)
        if record is not None and "error" in record:
            raise RuntimeError(f"Process 0 gave up the checkpoint of step {name.step}: {record['error']}")
        return False


def merged_files(parts: Iterable[Part]) -> list[File]:
    """Equal files of several processes once.

    :raises ValueError: two have stored different files under one path.
    """
    files: dict[str, File] = {}
    for file in (file for part in parts for file in part.files):
        known = files.setdefault(file.path, file)
        if (known.size, known.digest) != (file.size, file.digest):
            raise ValueError(
                f"{file.path!r} of process {known.host} is not that of process {file.host}: nothing is saved. "
                "Give files of each process names of its own, or save equal ones."
            )
        if file.version.isdecimal() and known.version.isdecimal() and int(file.version) > int(known.version):
            files[file.path] = file  # stored last, so it is the one that is there
    manifests.check(list(files))
    return list(files.values())


def merged_metadata(parts: Iterable[Part]) -> dict[str, Any]:
    """What any process has said.

    :raises ValueError: two say different things under one name.
    """
    merged: dict[str, Any] = {}
    said: dict[tuple[str, ...], int] = {}
    for part in parts:
        _merge(merged, part.metadata, part.process, (), said)
    return merged


def _merge(
    into: dict[str, Any], new: Mapping[str, Any], process: int, path: tuple[str, ...], said: dict[tuple[str, ...], int]
) -> None:
    for name, value in new.items():
        here = (*path, name)
        if name not in into:
            into[name] = {} if isinstance(value, Mapping) else value
            said[here] = process
        if isinstance(value, Mapping) and isinstance(into[name], dict):
            _merge(into[name], value, process, here, said)
        elif into[name] != value:
            raise ValueError(
                f"metadata {'.'.join(here)!r} is {into[name]!r} on process {said[here]} and {value!r} on process "
                f"{process}: nothing is saved. Give it on one process, or the same on all."
            )


def sweep(vault: Vault, layout: TrialLayout, attempt: int) -> None:
    """What groups of earlier attempts have told each other. It must not raise: the next attempt tries again."""
    with contextlib.suppress(Exception):
        if not {"hosts", "parts"} & set(vault.folders(layout.records)):
            return
        for name in _named(vault, layout):
            if name.attempt < attempt:
                vault.delete_tree(layout.parts(str(name)).rstrip("/"))
        for folder in vault.folders(layout.meetings.rstrip("/")):
            if folder < layout.meeting(attempt, 0).rstrip("/").rpartition("/")[2]:
                vault.delete_tree(f"{layout.meetings}{folder}")


def _named(vault: Vault, layout: TrialLayout) -> list[Name]:
    found = (Name.parse(each) for each in vault.folders(layout.all_parts.rstrip("/")))
    return [name for name in found if name]


def _encode(content: Mapping[str, Any]) -> bytes:
    return json.dumps({"v": protocol.VERSION, **content}).encode()
