"""Events: the only place where the API server says why something does *not* happen.

They are kept for an hour and may be missing, so they explain a state and never decide one, apart from
counting pods that are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kinetic.model.kubernetes.objects import moment, text

_CREATED_POD = re.compile(r"Created pod: (\S+)")


@dataclass(frozen=True)
class Event:
    """One core/v1 Event. ``at`` is the last time that it happened, in Unix seconds."""

    kind: str
    name: str
    reason: str
    message: str
    warning: bool
    at: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Event:
        return cls(
            kind=text(raw, "involvedObject", "kind"),
            name=text(raw, "involvedObject", "name"),
            reason=text(raw, "reason"),
            message=" ".join(text(raw, "message").split()),
            warning=text(raw, "type") == "Warning",
            at=_last(raw),
        )


@dataclass(frozen=True)
class Events:
    """Events about one Job and its pods, oldest first."""

    all: tuple[Event, ...]

    @classmethod
    def of(cls, raw: Iterable[Mapping[str, Any]], job: str) -> Events:
        """Those about other Jobs are left out; pods of a Job are named after it."""
        about = [event for event in map(Event.of, raw) if event.name == job or event.name.startswith(f"{job}-")]
        return cls(tuple(sorted(about, key=lambda event: event.at)))

    def newest(self, kind: str, name: str, *reasons: str) -> Event | None:
        """The last one about that object with one of the reasons; without reasons, the last one."""
        about = [event for event in self.all if event.kind == kind and event.name == name]
        return next((event for event in reversed(about) if not reasons or event.reason in reasons), None)

    def created_pods(self) -> dict[str, float]:
        """Pods that the Job controller made, with the time."""
        made = ((_CREATED_POD.search(event.message), event.at) for event in self.all if event.kind == "Job")
        return {match[1]: at for match, at in made if match}

    def first_start(self, container: str) -> float | None:
        """When a container of that name was first started, over pods that are gone, too."""
        started = [event for event in self.all if event.kind == "Pod" and event.reason == "Started"]
        return next((event.at for event in started if container in event.message), None)


def _last(raw: Mapping[str, Any]) -> float:
    places = (("series", "lastObservedTime"), ("lastTimestamp",), ("eventTime",), ("firstTimestamp",))
    times = (moment(raw, *place) for place in (*places, ("metadata", "creationTimestamp")))
    return next((at for at in times if at is not None), 0.0)
