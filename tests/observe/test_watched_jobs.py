"""A trigger on a cluster that tells of changes: nothing is polled, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest
from followers import TIMING, complete
from kube.resources import JOBS
from project import until
from tasks import captured_log

from airflow_provider_kinetic.hooks import platforms, shared
from airflow_provider_kinetic.hooks.shared import shared_ports
from airflow_provider_kinetic.lifecycle import cleanup, effects
from airflow_provider_kinetic.lifecycle.observe import Outcome
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.manifests import JobManifest
from airflow_provider_kinetic.model.status import JobState, Reason


def test_it_fires_when_the_job_is_over_without_asking(watched, live):
    handle = watched.submit()

    def meanwhile():
        until(lambda: watched.place.server.requests.open_watches == 2)
        time.sleep(0.5)
        watched.finish(handle)

    payload, log = live(watched.trigger(handle, log_requests_per_second=0.0), meanwhile)

    outcome = Outcome.from_dict(payload)
    assert outcome.status.state is JobState.SUCCEEDED
    assert f"Job {handle.job_id}: running" in log
    assert watched.place.asked("get") == 0
    assert watched.place.asked("list", "jobs") == 1


def test_a_job_that_ended_while_no_triggerer_ran_is_over_at_once(watched, live):
    handle = watched.submit()
    watched.finish(handle)
    until(lambda: watched.ports.cluster.status(handle).state.terminal)

    assert live(watched.trigger(handle))[0]["status"]["state"] == "SUCCEEDED"


def test_a_deadline_that_passes_keeps_why_before_anything_is_deleted(watched, live):
    watched.place.server.unschedulable("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    handle = replace(watched.submit(), startup_timeout=2.0)

    payload, log = live(watched.trigger(handle))

    assert payload["timeout"] == "startup_timeout"
    assert "not enough google.com/tpu is free" in payload["status"]["message"]
    kept = cleanup.kept_status(watched.ports.store, handle)
    assert (kept.state, kept.reason) == (JobState.FAILED, Reason.DEADLINE)
    assert "startup_timeout of 2 s passed" in kept.message
    assert "not enough google.com/tpu is free" in kept.message
    assert watched.ports.cluster.status(handle).state is JobState.NOT_FOUND
    assert any("not enough google.com/tpu is free" in line for line in log)


def test_deadlines_are_those_of_the_cluster_whose_clock_is_an_hour_off(watched, live):
    watched.place.server.clock.offset = 3600.0
    handle = replace(watched.submit(), startup_timeout=600.0, run_timeout=2.0)

    payload, _ = live(watched.trigger(handle, timeout=[600.0, time.time() + 600.0]))

    assert payload["timeout"] == "run_timeout"


# Ports.


def test_triggers_share_what_was_opened(watched):
    handles = [watched.submit() for _ in range(20)]

    async def many():
        found = await asyncio.gather(*(shared_ports(handle, "kinetic_default") for handle in handles))
        return len({id(each) for each in found})

    assert complete(many()) == 1
    assert watched.opened == ["kinetic_default"]


def test_other_places_and_connections_are_opened_apart(watched, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_OTHER", '{"conn_type": "kinetic", "extra": {"platform": "kubernetes", "bucket": "b-1"}}'
    )
    handle = watched.submit()

    async def several():
        await shared_ports(handle, "kinetic_default")
        await shared_ports(handle, "other")
        await shared_ports(replace(handle, namespace="team"), "kinetic_default")

    complete(several())
    assert sorted(watched.opened) == ["kinetic_default", "kinetic_default", "other"]


def test_an_opening_that_failed_is_tried_again(watched, monkeypatch):
    handle = watched.submit()

    async def twice():
        with pytest.raises(ConfigurationError):
            await asyncio.gather(*(shared_ports(handle, "missing") for _ in range(3)))
        monkeypatch.setenv(
            "AIRFLOW_CONN_MISSING", '{"conn_type": "kinetic", "extra": {"platform": "kubernetes", "bucket": "b-1"}}'
        )
        return await shared_ports(handle, "missing")

    assert complete(twice()) is watched.ports


def test_a_trigger_that_is_cancelled_while_ports_open_leaves_them_to_the_others(watched):
    handle = watched.submit()

    async def scenario():
        first = asyncio.create_task(shared_ports(handle, "kinetic_default"))
        other = asyncio.create_task(shared_ports(handle, "kinetic_default"))
        await asyncio.sleep(0)
        first.cancel()
        return await other

    assert complete(scenario()) is watched.ports


def test_credentials_that_were_replaced_while_a_job_waits_are_taken(watched, live, monkeypatch):
    """The old ones are refused for good; a job of days must not end with them."""
    monkeypatch.setattr(shared, "LIFETIME", 0.0)
    monkeypatch.setattr(effects, "FAILURES", 2)
    token = watched.place.server.token("replaced")
    watcher = watched.place.watcher(replace(TIMING, lost=0.5), token=token, identity="replaced")
    left = [watched.ports, replace(watched.ports, watcher=watcher)]
    monkeypatch.setitem(platforms.PLATFORMS, "kubernetes", lambda _: left.pop())
    handle = watched.submit()

    def meanwhile():
        until(lambda: watched.place.running(handle) and watched.place.server.requests.open_watches == 2)
        watched.ports.store.write(f"{handle.logs}0001-00000001.log", b"a line\n")
        time.sleep(0.5)
        watched.place.server.revoke(token)
        watched.place.server.cut()
        until(lambda: not left)
        watched.finish(handle)

    payload, log = live(watched.trigger(handle, poll=0.05), meanwhile)

    assert payload["status"]["state"] == "SUCCEEDED"
    assert log.count("a line") == 1


# Creating.


def order_of(watched, **more):
    """A manifest in the store, as a submission that left the creation to the trigger."""
    handle = watched.located(watched.place.handle("job-ordered"))
    manifest = JobManifest(handle.k8s_name, "default", handle.job_id, "idle", ("python3", "-c", ""), "cpu", **more)
    uri = handle.artifact("manifest.json")
    watched.ports.store.write(uri, json.dumps(manifest.to_dict()).encode())
    return handle, uri


def test_it_creates_the_job_from_a_finished_manifest(watched, live):
    handle, uri = order_of(watched, labels={"team": "red"})

    payload, _ = live(watched.trigger(handle, create=uri), lambda: watched.finish(handle))

    assert payload["status"]["state"] == "SUCCEEDED"
    (job,) = watched.place.server.store.list(JOBS, "default")[0]
    assert job["metadata"]["labels"]["team"] == "red"


def stopped(watched, trigger, handle):
    """A life of a trigger whose triggerer ends when the job runs."""

    async def life():
        task = asyncio.create_task(anext(trigger.run()))
        await asyncio.to_thread(until, lambda: watched.place.running(handle))
        task.cancel()
        await asyncio.wait([task])

    with captured_log():
        complete(life())


def test_a_triggerer_that_is_restarted_creates_nothing_again(watched, live):
    handle, uri = order_of(watched)
    trigger = watched.trigger(handle, create=uri)
    stopped(watched, trigger, handle)
    watched.finish(handle)
    until(lambda: watched.ports.cluster.status(handle).state.terminal)
    watched.place.delete(handle)

    assert live(trigger)[0]["status"]["state"] == "NOT_FOUND"
    assert watched.place.asked("create", "jobs") == 1


def test_a_creation_whose_answer_was_lost_is_found_to_be_done(watched, live):
    handle, uri = order_of(watched)
    watched.place.server.fail(verb="create", resource="jobs", drop="after")

    payload, _ = live(watched.trigger(handle, create=uri, poll=0.05), lambda: watched.finish(handle))

    assert payload["status"]["state"] == "SUCCEEDED"
    assert len(watched.place.server.pods(handle.k8s_name)) == 1


def test_a_job_that_is_not_wanted_any_more_is_not_created(watched, live):
    handle, uri = order_of(watched)
    cleanup.cancel(watched.ports, handle, by="a user")

    assert live(watched.trigger(handle, create=uri))[0]["status"]["state"] == "NOT_FOUND"
    assert watched.place.asked("create", "jobs") == 0


# Output.


class Slow:
    """A store whose listings take their time; ``listed`` counts them."""

    def __init__(self, store, gate=None):
        self._store, self._gate, self.listed = store, gate, 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def list(self, *args, **kwargs):
        self.listed += 1
        if self._gate is not None:
            self._gate.wait(20)
        return self._store.list(*args, **kwargs)


def test_output_is_shown_while_the_job_runs(watched, live):
    handle = watched.submit()
    log_file = f"{handle.logs}0001-00000001.log"

    def meanwhile():
        until(lambda: watched.place.running(handle))
        watched.ports.store.write(log_file, b"a line\nanother\n")
        time.sleep(1)
        watched.finish(handle)

    payload, log = live(watched.trigger(handle, poll=0.05), meanwhile)

    assert (log.count("a line"), log.count("another")) == (1, 1)
    assert payload["cursor"] == "0001-00000001.log"


def test_a_store_that_hangs_does_not_hide_the_end(watched, live):
    gate = threading.Event()
    store = Slow(watched.ports.store, gate)
    object.__setattr__(watched.ports, "store", store)
    handle = watched.submit()

    def meanwhile():
        until(lambda: store.listed)
        watched.finish(handle)

    payload, _ = live(watched.trigger(handle, poll=0.05), meanwhile)
    gate.set()

    assert payload["status"]["state"] == "SUCCEEDED"
    assert store.listed == 1


def test_a_job_that_prints_nothing_is_asked_less_and_less(watched, live):
    store = Slow(watched.ports.store)
    object.__setattr__(watched.ports, "store", store)
    handle = watched.submit()

    def meanwhile():
        until(lambda: watched.place.running(handle))
        time.sleep(2)
        watched.finish(handle)

    live(watched.trigger(handle, poll=0.05, log_requests_per_second=1000.0), meanwhile)

    assert 2 <= store.listed <= 7


def test_without_a_budget_nothing_is_asked(watched, live):
    store = Slow(watched.ports.store)
    object.__setattr__(watched.ports, "store", store)
    handle = watched.submit()

    live(watched.trigger(handle, poll=0.01, log_requests_per_second=0.0), lambda: watched.finish(handle))

    assert store.listed == 0


def test_all_jobs_share_the_budget(watched):
    store = Slow(watched.ports.store)
    object.__setattr__(watched.ports, "store", store)
    handles = [watched.submit() for _ in range(20)]
    seconds, rate = 2.0, 3.0

    async def scenario():
        triggers = [watched.trigger(handle, poll=0.01, log_requests_per_second=rate) for handle in handles]
        lives = [asyncio.create_task(anext(trigger.run())) for trigger in triggers]
        await asyncio.to_thread(until, lambda: all(watched.place.running(handle) for handle in handles))
        before = store.listed
        await asyncio.sleep(seconds)
        asked = store.listed - before
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        return asked

    with captured_log():
        asked = complete(scenario())
    assert asked <= rate * seconds + 2


def test_upstreams_jobs_show_what_their_pod_prints(watched, live):
    handle = replace(watched.submit(), output_dir=None)
    assert handle.logs is None
    printed = ["one", "two"]

    class Printing:
        def __getattr__(self, name):
            return getattr(watched_cluster, name)

        def tail(self, *_args, **_kwargs):
            return "".join(f"{line}\n" for line in printed)

    watched_cluster = watched.ports.cluster
    object.__setattr__(watched.ports, "cluster", Printing())

    def meanwhile():
        time.sleep(1)
        printed.append("three")
        time.sleep(1)
        watched.place.finish(handle)

    trigger = watched.trigger(handle, poll=0.05)
    _, log = live(trigger, meanwhile)

    assert [line for line in log if line in ("one", "two", "three")] == ["one", "two", "three"]
