"""Why jobs wait: events, asked for under one small budget however many jobs there are.

Events explain a state and never decide one, so they are not watched: a namespace has many of them and nearly all
are about something else. One job that waits is asked about by the name of its pod; where many wait, the whole namespace
is read, one reason at a time, and serves all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_kinetic.clusters.watch_cache import Entry
from airflow_provider_kinetic.clusters.watch_objects import Object
from airflow_provider_kinetic.clusters.watch_stream import Timing
from airflow_provider_kinetic.model.kubernetes.objects import entries, text

log = logging.getLogger(__name__)

FEW = 2
"""So many waiting jobs are asked about one by one."""
PAGE = 250
PAGES = 20
"""Of one reading of the namespace."""
KINDS = ("type=Warning", "reason=TriggeredScaleUp", "reason=NotTriggerScaleUp")
"""What explains waiting: those of the cluster autoscaler are not warnings."""

Ask = Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]
"""One request for a page of events."""


class Explainer:
    """Gives waiting jobs their events. :meth:`run` is one endless task."""

    def __init__(self, ask: Ask, timing: Timing) -> None:
        self._ask, self._timing = ask, timing
        self._waiting: dict[str, Entry] = {}
        self._due: dict[str, float] = {}
        self._explained: dict[str, int] = {}
        """Up to which of its changes."""
        self._wanted = asyncio.Event()
        self._kinds = itertools.cycle(KINDS)

    def want(self, entry: Entry) -> None:
        """The job waits. One that waits for a queue says so itself."""
        if not entry.known or entry.suspended:
            return
        self._waiting[entry.name] = entry
        if self._explained.get(entry.name) != entry.changes:
            self._due[entry.name] = 0.0
        self._wanted.set()

    def forget(self, entry: Entry) -> None:
        """It does not wait any more, or nobody wants to know."""
        for known in (self._waiting, self._due, self._explained):
            known.pop(entry.name, None)

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._timing.events)
            try:
                await self._explain()
            except Exception as error:  # they only explain
                log.debug("No events: %s", error)

    async def _explain(self) -> None:
        if not self._waiting:
            self._wanted.clear()
            return
        now = time.monotonic()
        due = [entry for name, entry in self._waiting.items() if self._due[name] <= now]
        alone = len(self._waiting) <= FEW
        for entry in due[:1] if alone else due:
            self._due[entry.name] = now + self._timing.explain
            self._explained[entry.name] = entry.changes
        if due:
            await (self._about(due[0]) if alone else self._about_all())

    async def _about(self, entry: Entry) -> None:
        name = entry.pods.present or entry.name
        page = await self._ask({"fieldSelector": f"involvedObject.name={name}", "limit": str(PAGE)})
        _told(entry, entries(page, "items"))

    async def _about_all(self) -> None:
        """Every kind in its turn, a page at a time."""
        for _ in KINDS:
            query = {"fieldSelector": next(self._kinds), "limit": str(PAGE)}
            for _ in range(PAGES):
                page = await self._ask(query)
                self._share(entries(page, "items"))
                await asyncio.sleep(self._timing.events)
                if not (after := text(page, "metadata", "continue")):
                    break
                query = {**query, "continue": after}

    def _share(self, events: list[Object]) -> None:
        about = defaultdict(list)
        for event in events:
            about[text(event, "involvedObject", "name")].append(event)
        for entry in list(self._waiting.values()):
            names = {entry.name, *entry.pods.names}
            if found := [event for name in names & about.keys() for event in about[name]]:
                _told(entry, found)


def _told(entry: Entry, events: list[Object]) -> None:
    if entry.put_events(events):
        entry.stir()
