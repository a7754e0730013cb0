"""A DAG file on the local platform whose task needs an image that is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import tasks
from installation import TaskKey
from shop import Shop
from workshop import Workshop

JOB = "def f():\n    note('{gate}')\n    return 42"
WAITS = "def f():\n    note('{gate}')\n    at_the_gate('{gate}')\n    return 42"
KEY = TaskKey("shop", "job", "run_1")


@dataclass
class Place:
    """The shop and its workshop."""

    shop: Shop
    workshop: Workshop

    def task(self, source: str = JOB, **options: Any) -> Any:
        """The task ``job``, for which an image has to be built."""
        return self.shop.job(source, **{"container_image": None, "requirements": ["six"], **options})

    def start(self, task: Any, key: TaskKey = KEY) -> tasks.TaskRunResult:
        """The first leg of a try."""
        self.shop.db.queue(key, max_tries=task.retries or 0, operator=task.task_type)
        return tasks.work(task, self.shop.db, key)

    @property
    def row(self) -> Any:
        return self.shop.db.rows[KEY]

    @property
    def deferral(self) -> dict[str, Any]:
        """What the first leg has left for the triggerer."""
        return dict(self.row.trigger["trigger_kwargs"])

    def build_quickly(self) -> None:
        """From now on builds succeed by themselves."""
        self.equip(replace(self.workshop, quick=True))

    def equip(self, builder: Any) -> None:
        """Have images built there."""
        self.shop.refit(lambda ports: replace(ports, builder=builder))
