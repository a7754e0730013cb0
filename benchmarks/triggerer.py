"""What N deferred jobs cost one triggerer, and how soon it knows that they are over: ours beside the peers.

All run in Airflow's own ``TriggerRunner`` (``support/loop.py``), each measurement in a fresh process, against one TLS
API server on loopback (``support/api_server.py``), with Jobs and pods as this provider makes them. A measurement:
start N triggers; wait until each has seen its job and the loop is quiet; a window in which nothing changes; then every
job ends at once. In a second process jobs end evenly over 20 s. Nobody follows logs. ``--quick``: less and shorter.

In the peers' favour: no network latency, a token at once, no database, and no pods in their polls.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from support.api_server import Place
from support.contenders import ALL, GKE, KUBERNETES, OURS, SLEEPING, Contender, environment
from support.loop import Fired, Usage
from support.session import Broken, Process, Supervisor, server, triggerer, until

SPREAD = 20.0
SETTLE = 12.0
"""Seconds between the start of all triggers and the window: a peer's whole poll."""
MINUTE = 75.0
"""Seconds of a window that a full garbage collection of a process with 10,000 triggers falls into."""


@dataclass(frozen=True)
class Limits:
    """Delays in seconds, memory in KiB a job."""

    requests: float
    share: float
    delay_p99: float
    delay_max: float
    latency_p99: float
    kibibytes: float


AT_ONCE = 1_000
"""Jobs whose ends at one moment are still judged. Of more the figures are shown: a control plane that has to write
each end does not get to it, and what is judged is 500 ends a second (``SPREAD``)."""
LIMITS = {1_000: Limits(1, 0.05, 0.020, 0.100, 1.0, 150), 10_000: Limits(1, 0.25, 0.050, 0.200, 3.0, 150)}
START_CPU = {1_000: 5.0}


@dataclass(frozen=True)
class Case:
    """One process. ``over``: the time in which the jobs end; an idle ``window`` of 0 is left out."""

    contender: Contender
    size: int
    window: float
    over: float = 0.0


@dataclass
class Figures:
    """Of one case. Seconds; KiB; requests and connections of the window by what was asked."""

    start: float
    start_cpu: float
    start_delay: float
    kibibytes: float
    idle: Counter[str]
    share: float
    idle_late: list[float]
    end_late: list[float]
    end_cpu: float
    latencies: list[float]
    load: float


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


class Measurement:
    """One case against a server that is filled for it."""

    def __init__(self, case: Case, api: Process, loop: Process, log: Supervisor) -> None:
        self.case, self.api, self.loop, self.log = case, api, loop, log

    def run(self) -> Figures:
        case = self.case
        self.loop.ask("prepare", case.size)
        self.loop.ask("late")
        before: Usage = self.loop.ask("start")
        until("every trigger sees its job", lambda: len(self.log.seen) >= case.size, 60 + case.size * 0.15)
        started: Usage = self.loop.ask("usage")
        start_late = self.loop.ask("late")
        time.sleep(SETTLE if case.contender in (KUBERNETES, GKE) else 3 + case.size / 2_000)
        settled: Usage = self.loop.ask("usage")
        if self.loop.ask("alive") != case.size:
            raise Broken("triggers end before their jobs")
        idle, share, late = self._window()
        ended = self._ending()
        return Figures(
            started.at - before.at,
            started.cpu - before.cpu,
            max(start_late, default=0.0),
            (settled.kibibytes - before.kibibytes) / case.size,
            idle,
            share,
            late,
            *ended,
            os.getloadavg()[0],
        )

    def _window(self) -> tuple[Counter[str], float, list[float]]:
        if not self.case.window:
            return Counter(), float("nan"), []
        self.loop.ask("late")
        counts, before = self.api.ask("counts"), self.loop.ask("usage")
        time.sleep(self.case.window)
        after, late = self.loop.ask("usage"), self.loop.ask("late")
        counts = self.api.ask("counts") - counts
        seconds = after.at - before.at
        return Counter({what: n / seconds for what, n in counts.items()}), (after.cpu - before.cpu) / seconds, late

    def _ending(self) -> tuple[list[float], float, list[float]]:
        before: Usage = self.loop.ask("usage")
        self.loop.ask("late")
        if self.case.contender is SLEEPING:
            at = [self.loop.ask("wake")] * self.case.size
        else:
            at = self.api.ask("complete", self.case.over)
        until("every event", lambda: self.loop.ask("count") >= self.case.size, 120)
        after, late = self.loop.ask("usage"), self.loop.ask("late")
        fired: list[Fired] = self.loop.ask("fired")
        if not all(event.succeeded for event in fired) or len(fired) != self.case.size:
            raise Broken("not every event says that its job succeeded")
        return late, after.cpu - before.cpu, [event.at - at[event.index] for event in fired]


def measure(case: Case, api: Process, place: Place, environ: dict[str, str]) -> Figures:
    api.ask("fill", case.size)
    with triggerer(case.contender, place, environ) as (loop, log):
        try:
            return Measurement(case, api, loop, log).run()
        except Broken as broken:
            raise Broken(f"{case.contender.title}, {case.size}: {broken}\n" + "\n".join(log.alarms[:5])) from broken


def cases(quick: bool) -> list[Case]:
    if quick:
        chosen = [Case(OURS, 100, 10), Case(OURS, 1_000, 10)]
        return [*chosen, Case(KUBERNETES, 100, 10), Case(KUBERNETES, 1_000, 10), Case(GKE, 100, 10)]
    return [
        Case(SLEEPING, 10_000, MINUTE),
        *(Case(OURS, size, 30) for size in (100, 1_000)),
        Case(OURS, 10_000, MINUTE),
        *(Case(OURS, size, 0, over=SPREAD) for size in (1_000, 10_000)),
        *(Case(KUBERNETES, size, 20) for size in (100, 1_000)),
        Case(KUBERNETES, 100, 0, over=SPREAD),
        *(Case(GKE, size, 20) for size in (100, 1_000)),
    ]


HEAD = (
    f"{'':28} |{'start':^20} |{'nothing changes':^44} |{'':6} |{'jobs end':^45} |\n"
    f"{'':28} |{'':6}{'CPU':>6}{'stall':>8} |{'':29}{'loop delay, ms':>15} |{'KiB':>6} |"
    f"{'':6}{'latency, s':>17}{'loop delay, ms':>15}{'CPU ms':>7} |\n"
    f"{'trigger':21}{'N':>7} |{'s':>6}{'s':>6}{'ms':>8} |{'req/s':>7}{'conn/s':>7}{'token/s':>8}{'core':>7}"
    f"{'p99 / max':>15} |{'a job':>6} |{'in':>6}{'p50 / p99':>17}{'p99 / max':>15}{'a job':>7} | load"
)


def row(case: Case, found: Figures) -> str:
    start = f"{found.start:6.1f}{found.start_cpu:6.1f}{found.start_delay * 1e3:8.0f}"
    idle = ""
    if case.window:
        idle = f"{asked(found):7.2f}{found.idle['connection']:7.1f}{found.idle['token']:8.1f}{found.share:7.3f}"
        idle += delays(found.idle_late)
    end = f"{f'{case.over:.0f} s' if case.over else 'once':>6}{percentile(found.latencies, 0.5):8.3f} /"
    end += f"{percentile(found.latencies, 0.99):7.3f}{delays(found.end_late)}{found.end_cpu * 1e3 / case.size:7.2f}"
    head = f"{case.contender.title:21}{case.size:7,}"
    return f"{head} |{start} |{idle:44} |{found.kibibytes:6.0f} |{end} |{found.load:5.1f}"


def delays(late: list[float]) -> str:
    return f"{percentile(late, 0.99) * 1e3:8.1f} /{max(late) * 1e3:5.0f}"


def asked(found: Figures) -> float:
    """Requests a second to the API server."""
    return sum(n for what, n in found.idle.items() if what not in ("connection", "token"))


def misses(case: Case, found: Figures) -> list[str]:
    """Which limits ours exceeds."""
    limits = LIMITS.get(case.size)
    if case.contender is not OURS or limits is None:
        return []
    late = found.idle_late + found.end_late
    judged = case.over or case.size <= AT_ONCE
    figures = {
        "event latency p99, s": (percentile(found.latencies, 0.99), limits.latency_p99 if judged else float("inf")),
        "loop delay p99, s": (percentile(late, 0.99), limits.delay_p99),
        "loop delay max, s": (max(late), limits.delay_max),
        "memory, KiB a job": (found.kibibytes, limits.kibibytes),
        "start, s of CPU": (found.start_cpu, START_CPU.get(case.size, float("inf"))),
    }
    if case.window:
        figures |= {"requests/s": (asked(found), limits.requests), "share of a core": (found.share, limits.share)}
    return [
        f"{case.size:,} jobs: {name} {figure:.3f} > {limit:g}"
        for name, (figure, limit) in figures.items()
        if figure > limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 jobs, shorter windows")
    parser.add_argument("--only", choices=sorted(ALL), help="one trigger")
    parser.add_argument("--sizes", type=int, nargs="+", help="only these numbers of jobs")
    options = parser.parse_args()
    chosen = [
        case
        for case in cases(options.quick)
        if options.only in (None, case.contender.title) and case.size in (options.sizes or [case.size])
    ]
    if not chosen:
        parser.error("there is no such measurement; --quick has none beyond 1,000 jobs")
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as (api, place):
        environ = environment(place, Path(name))
        sizes = api.ask("sizes")
        print(
            f"a Job has {sizes['jobs'] / 1024:.0f} KiB, its pod {sizes['pods'] / 1024:.0f} KiB; peers poll every 10 s"
        )
        print(HEAD, flush=True)
        for case in chosen:
            try:
                found = measure(case, api, place, environ)
            except Broken as broken:
                print(broken, flush=True)
                missed.append(f"{case.size:,} jobs: not measured with {case.contender.title}")
                continue
            print(row(case, found), flush=True)
            missed += misses(case, found)
    print("\n".join(missed))
    print(f"limits of {OURS.title}: {'NOT met' if missed else 'met'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
