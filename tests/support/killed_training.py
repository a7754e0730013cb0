"""A training loop that can be killed at a named call of its store: ``killed_training.py URI [POINT NTH WHEN [HOW]]``.

Points are a call and what it is about, such as ``write commit``; ``WHEN`` is ``before`` or ``after`` the call, ``HOW``
the signal.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections import Counter
from typing import Any

from checkpoint_files import noise, write

from airflow_provider_kinetic.job.training.retention import Keep
from airflow_provider_kinetic.job.training.trials import Trial
from airflow_provider_kinetic.job.vaults import open_vault
from airflow_provider_kinetic.model.errors import Superseded

KEEP = Keep(latest=2, best=("loss", 1, "min"), every=7)
KINDS = {
    r"\.kinetic/attempts/\d+\.json": "attempt",
    r"\.kinetic/attempts/\d+\.end\.json": "end",
    r"\.kinetic/checkpoints/.*": "commit",
    r"\.kinetic/tombstones/.*": "tombstone",
    r"\.kinetic/pins/.+": "pin",
    r"\.kinetic/metrics/.+jsonl": "segment",
    r"\.kinetic/metrics/summary\.json": "summary",
    r"checkpoints/[^/]+": "data",
    r"checkpoints/[^/]+/manifest\.json": "manifest",
    r"checkpoints/[^/]+/.+": "file",
}


def files(step: int) -> dict[str, bytes]:
    """What a checkpoint of this step holds."""
    return {"frozen": noise("frozen", 200_000), "state": noise(step, 150_000), "a/small": str(step).encode()}


def loss(step: int) -> float:
    return (step * 7919 % 13) / 13


class Killing:
    """A vault whose user dies, or is stopped, at one of its calls."""

    def __init__(self, uri: str, point: str = "", nth: str = "0", when: str = "", how: str = "SIGKILL") -> None:
        self._vault = open_vault(uri)
        self._uri = uri
        self._death = point, int(nth), when
        self._signal = signal.Signals[how]
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._vault, name)

        def call(uri: Any, *args: Any, **options: Any) -> Any:
            target = args[0] if name in ("send", "copy") else uri
            with self._lock:
                point = f"{name} {self._kind(target)}"
                self.calls[point] += 1
                nth = self.calls[point]
            self._pass(point, nth, "before")
            result = method(uri, *args, **options)
            self._pass(point, nth, "after")
            return result

        return call

    def _kind(self, uri: str) -> str:
        path = uri[len(self._uri) + 1 :]
        return next((kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, path)), path)

    def _pass(self, point: str, nth: int, when: str) -> None:
        if self._death == (point, nth, when):
            signal.pthread_kill(threading.get_ident(), self._signal)  # this thread does not do anything after it


def main(uri: str, *death: str) -> None:
    print("begins", flush=True)
    train(uri, Killing(uri, *death))


def train(uri: str, vault: Killing) -> None:
    try:
        with Trial(uri, KEEP, vault) as trial:  # type: ignore[arg-type]
            _train(trial)
    except Superseded as error:
        print(f"superseded: {error}", flush=True)
        raise


def _train(trial: Trial) -> None:
    with trial.restore() as found:
        begun = found.step if found else 0
    print(f"resumed {begun}", flush=True)
    for step in range(begun + 1, begun + 13):
        trial.log({"loss": loss(step)}, step=step)
        if step % 2:
            trial.log({"accuracy": step}, step=step, group="validation")
        with trial.save(step, wait=step % 3 > 0, loss=loss(step)) as folder:
            write(folder, files(step))
        if step % 3:
            print(f"committed {step}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
