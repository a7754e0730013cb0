"""A clear that comes when the job is over already, and its task is still at work with what it left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import tasks
from installation import TaskKey

FUNCTION = "def f():\n    with open('{gate}/runs', 'a') as out: out.write('.')\n    return 42"


@dataclass
class Told:
    """A store that tells the names of its calls before it answers them."""

    store: Any
    tell: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.tell(name)
            return getattr(self.store, name)(*args, **kwargs)

        return call


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("moment", ["download", "copy", "delete_prefix"])
def test_it_runs_the_function_again(shop, moment, deferrable):
    task = shop.job(FUNCTION, retries=1, deferrable=deferrable)
    key = TaskKey("shop", "job", "run_1")
    cleared: list[str] = []

    def clear(name):
        if name == moment and not cleared:
            cleared.append(name)
            shop.db.clear(key)
            signal.raise_signal(signal.SIGTERM)

    shop.refit(lambda ports: replace(ports, store=Told(ports.store, clear)))
    tasks.run(task, shop.db)
    assert cleared

    shop.db.retry(key)  # as the scheduler does when the worker of the cleared task has ended
    assert shop.run().value == 42
    assert (shop.folder / "runs").read_text() == ".."
