"""Rows are in the store ten seconds after they were logged at most, by a clock of the test's own."""

from __future__ import annotations

import types

import pytest

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training import metrics
from airflow_provider_kinetic.job.training.series import decode
from airflow_provider_kinetic.job.vaults import FileVault

PROMISED = 10
UNTIL = 200


class Hours:
    """Time passes while somebody waits or works, and a row is logged in every second of it."""

    def __init__(self):
        self.now, self.logged, self.log = 0.0, [], None

    def pass_by(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1)
            self.log({"loss": 1}, len(self.logged), "train")
            self.logged.append(self.now)

    def wait(self, seconds):
        self.pass_by(seconds)
        return self.now > UNTIL

    def is_set(self):
        return False


class Slow(FileVault):
    """A write takes a second."""

    def __init__(self, hours):
        self.hours, self.arrived = hours, {}

    def write(self, uri, data, **options):
        self.hours.pass_by(1)
        super().write(uri, data, **options)
        for row in decode(data) if uri.endswith(".jsonl") else ():
            self.arrived.setdefault(row.step, self.hours.now)


@pytest.mark.parametrize("summary_takes", [0, 3, 7])
def test_a_row_is_in_the_store_within_ten_seconds(tmp_path, monkeypatch, summary_takes):
    hours = Hours()
    vault = Slow(hours)
    monkeypatch.setattr(metrics, "time", types.SimpleNamespace(monotonic=lambda: hours.now, time=lambda: 0.0))
    looks = []

    def newest():
        """Asked before a summary, where that takes its time, and after it."""
        if len(looks) % 2 == 0:
            hours.pass_by(summary_takes)
        looks.append(hours.now)
        return True

    written = metrics.Metrics(vault, TrialLayout(path_to_uri(tmp_path)), 1, newest, {1: {"attempt": 1}})
    written._closing, written._thread, hours.log = hours, object(), written.log
    written._run()
    late = [vault.arrived.get(step, hours.now) - logged for step, logged in enumerate(hours.logged)]
    assert max(late) <= PROMISED
    assert len(looks) >= UNTIL / metrics.SUMMARY_EVERY
