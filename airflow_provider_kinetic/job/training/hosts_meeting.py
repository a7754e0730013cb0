"""How processes of one trial find each other, with nothing but the store between them (``checkpointing`` 3.10).

After a restart the store is full of what former lives have written, by the same job and under the same names, and no
clock says what is old. So nobody concludes anything from what lies there: the leader calls, each of the others takes
its seat at the newest call, and the leader, which lives, answers to those who came. A seat is taken once. A call that
nobody answers is of a former life; who sits there moves on when a newer one comes.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectExists
from airflow_provider_kinetic.job.training.checkpoints import in_parallel, numbered, read_record
from airflow_provider_kinetic.job.training.hosts import Group, Host, machine, patience, pauses
from airflow_provider_kinetic.job.vaults import Vault

SOON = 10.0
"""Seconds after which the leader says for whom it waits."""
ALL_OR_ONE = (
    "Every process calls job.trial() and saves; where only one of them has a trial, it says so: job.trial(processes=1)."
)


class Meeting:
    """Of the processes of one job.

    :param soon: seconds after which the leader says for whom it waits.
    """

    def __init__(self, vault: Vault, layout: TrialLayout, host: Host, job_id: str, soon: float = SOON) -> None:
        self._vault = vault
        self._layout = layout
        self._host = host
        self._job_id = job_id
        self._soon = soon
        self._me = {"nonce": os.urandom(16).hex(), "machine": machine()}

    def lead(self, attempt: int) -> Group:
        """Call the others to this attempt; returns when all are there.

        :raises TimeoutError: some did not come.
        """
        number = self._call(attempt)
        folder = self._layout.meeting(attempt, number)
        saved = numbered(self._vault, self._layout, attempt) if number > 1 else 0
        seats: dict[int, Mapping[str, str]] = {0: self._me}
        begun, said = time.monotonic(), False
        for pause in pauses():
            missing = self._seated(folder, seats)
            if not missing:
                known = {str(process): seat for process, seat in seats.items()}
                self._create(f"{folder}ready.json", {"attempt": attempt, "seats": known, "saved": saved})
                return Group(self._host, attempt, folder, seats, saved)
            waited = time.monotonic() - begun
            text = f"{_named(missing)} of {self._host.processes} did not come to attempt {attempt}"
            if waited > patience():
                raise TimeoutError(f"{text} within {patience():g} seconds. {ALL_OR_ONE}")
            if waited > self._soon and not said:
                said = True
                warnings.warn(f"{text} yet; the wait is {patience():g} seconds at most. {ALL_OR_ONE}", stacklevel=5)
            time.sleep(pause)
        raise AssertionError

    def _seated(self, folder: str, seats: dict[int, Mapping[str, str]]) -> list[int]:
        """Adds who has come; says who has not."""
        there = set(self._vault.list(folder))
        waited = {process: f"{folder}{_seat(process)}" for process in range(1, self._host.processes)}
        came = [process for process, uri in waited.items() if process not in seats and uri in there]
        for process, record in zip(came, in_parallel(lambda process: self._read(waited[process]), came)):
            seats[process] = {"nonce": str(record.get("nonce")), "machine": str(record.get("machine"))}
        return [process for process in waited if process not in seats]

    def join(self) -> Group:
        """Find the leader's attempt.

        :raises TimeoutError: no leader answered.
        """
        begun, folder, seated = time.monotonic(), "", False
        for pause in pauses():
            newest = self._newest_call()
            if newest != folder:
                folder, seated = newest, self._sit(newest)
            elif seated:
                ready = self._read(f"{folder}ready.json")
                seats = {int(process): seat for process, seat in ready.get("seats", {}).items()}
                if seats.get(self._host.process) == self._me:
                    return Group(self._host, int(ready["attempt"]), folder, seats, int(ready["saved"]))
            if time.monotonic() - begun > patience():
                raise TimeoutError(
                    f"Process {self._host.process} of {self._host.processes} found no process 0 of its job in "
                    f"{self._layout.output_dir} within {patience():g} seconds. {ALL_OR_ONE} "
                    "A process that was restarted alone cannot come back: restart all of them."
                )
            time.sleep(pause)
        raise AssertionError

    def _call(self, attempt: int) -> int:
        """A new one, counted from 1 in each attempt."""
        number = 1
        content = {"attempt": attempt, "job_id": self._job_id, "processes": self._host.processes, **self._me}
        while not self._create(f"{self._layout.meeting(attempt, number)}call.json", content):
            number += 1
        return number

    def _newest_call(self) -> str:
        calls = [uri for uri in self._vault.list(self._layout.meetings) if uri.endswith("/call.json")]
        return max(calls, default="").rpartition("call.json")[0]

    def _sit(self, folder: str) -> bool:
        call = self._read(f"{folder}call.json") if folder else {}
        if (call.get("job_id"), call.get("processes")) != (self._job_id, self._host.processes):
            return False
        uri = f"{folder}{_seat(self._host.process)}"
        return self._create(uri, self._me) or self._read(uri).get("nonce") == self._me["nonce"]

    def _create(self, uri: str, content: Mapping[str, Any]) -> bool:
        try:
            self._vault.write(uri, json.dumps({"v": protocol.VERSION, **content}).encode(), if_absent=True)
        except ObjectExists:
            return self._read(uri).get("nonce") == self._me["nonce"]  # then only the answer was lost
        return True

    def _read(self, uri: str) -> dict[str, Any]:
        return read_record(self._vault, uri) or {}


def _seat(process: int) -> str:
    return f"p{process:04d}.json"


def _named(processes: list[int]) -> str:
    return f"process{'es' if len(processes) > 1 else ''} {', '.join(map(str, processes))}"
