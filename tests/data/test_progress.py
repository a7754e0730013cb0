"""Lines about long transfers: when they come and what they say."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_kinetic.job.progress import EVERY, FIRST, RAREST, Amount, Progress, size_text, time_text

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_soon_done_says_nothing(clock: Clock) -> None:
    said: list[str] = []
    progress = Progress("Uploading d", Amount(2, 10), said.append, clock=clock)
    progress.add(files=1, bytes=5)
    clock.now += FIRST - 0.1
    progress.add(files=1, bytes=5)
    progress.end()
    assert said == []


def test_a_long_transfer_says_bytes_files_rate_and_time_left(clock: Clock) -> None:
    said: list[str] = []
    progress = Progress("Uploading d", Amount(2000, 400 * MIB), said.append, clock=clock)
    clock.now += 4
    progress.add(files=500, bytes=100 * MIB)
    assert said == ["Uploading d: 100 MiB of 400 MiB (25 %), 500 of 2,000 files, 25.0 MiB/s, 12 s left"]
    clock.now += 6
    progress.add(files=1500, bytes=300 * MIB)
    progress.end()
    assert said[1:] == ["Uploading d: done, 400 MiB, 2,000 files in 10 s, 40.0 MiB/s"]


def test_what_was_there_before_is_done_and_no_part_of_the_rate(clock: Clock) -> None:
    said: list[str] = []
    progress = Progress("Uploading d", Amount(2, 100 * MIB), said.append, done=Amount(1, 50 * MIB), clock=clock)
    clock.now += 5
    progress.add(bytes=10 * MIB)
    assert said == ["Uploading d: 60.0 MiB of 100 MiB (60 %), 1 of 2 files, 2.0 MiB/s, 20 s left"]


def test_a_transfer_that_stands_still_can_say_so(clock: Clock) -> None:
    said: list[str] = []
    progress = Progress("Downloading d", Amount(1, MIB), said.append, clock=clock)
    clock.now += 5
    progress.tick()
    assert said == ["Downloading d: 0 B of 1.0 MiB (0 %), 0 of 1 file, 0 B/s"]


def test_empty_files_count_too(clock: Clock) -> None:
    said: list[str] = []
    progress = Progress("Uploading d", Amount(100, 0), said.append, clock=clock)
    clock.now += 5
    progress.add(files=50)
    assert said == ["Uploading d: 0 B of 0 B (100 %), 50 of 100 files, 0 B/s, 5 s left"]


def test_lines_become_rarer_but_never_stop(clock: Clock) -> None:
    said: list[float] = []
    progress = Progress("Uploading d", Amount(1, MIB), lambda _: said.append(clock.now), clock=clock)
    for _ in range(6 * 3600):
        clock.now += 1
        progress.tick()
    pauses = [later - earlier for earlier, later in pairwise(said)]
    assert pauses[0] == EVERY
    assert pauses == sorted(pauses)
    assert pauses[-1] == RAREST


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (99.94 * 1024, "99.9 KiB"),
        (100 * 1024, "100 KiB"),
        (MIB - 1, "1.0 MiB"),
        (1.5 * 1024 * MIB, "1.5 GiB"),
        (3000 * 1024**5, "3,000 PiB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12345, "3 h 25 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
