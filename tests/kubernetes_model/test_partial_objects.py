"""Whatever a server leaves out, a job has a state, and a finished one stays finished."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kubernetes_objects import (
    NOW,
    a_job,
    a_pod,
    an_event,
    at,
    condition,
    disrupted,
    failed,
    observe,
    running,
    terminated,
    waiting,
)

from airflow_provider_kinetic.model.status import JobState, JobStatus

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([at(1), "True", "Failed"])
_KEYS = (
    "metadata spec status conditions type reason message containers containerStatuses state waiting terminated running "
    "exitCode startedAt phase name creationTimestamp involvedObject lastTimestamp env value failed succeeded suspend "
    "nodeSelector labels deletionTimestamp series items"
)
NAMES = st.sampled_from(_KEYS.split(" "))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner), max_leaves=9
)
OBJECTS = st.dictionaries(NAMES, ANYTHING, max_size=4)


@given(OBJECTS, st.lists(OBJECTS, max_size=2), st.lists(OBJECTS, max_size=2))
def test_objects_that_lack_anything_still_have_a_state(job: Any, pods: Any, events: Any) -> None:
    found = observe(job, pods, events)
    assert JobStatus.from_dict(found.to_dict()) == found


@st.composite
def partial(draw: st.DrawFn, whole: Any) -> Any:
    """``whole`` with parts left out."""
    if isinstance(whole, dict):
        return {key: draw(partial(value)) for key, value in whole.items() if draw(st.integers(0, 9))}
    if isinstance(whole, list):
        return [draw(partial(value)) for value in whole if draw(st.integers(0, 9))]
    return whole


STUCK = a_pod(
    state=waiting("ImagePullBackOff"),
    conditions=[condition("PodScheduled", "Unschedulable", "0/1 nodes are available", "False")],
    selector={"cloud.google.com/gke-accelerator": "nvidia-l4"},
)
CASES = [
    (a_job(spec={"suspend": True}), [], [an_event("Stopped", "Preempted")]),
    (a_job(), [], [an_event("FailedCreate", 'serviceaccount "kinetic" not found')]),
    (a_job({"active": 1}), [disrupted(), STUCK], [an_event("TriggeredScaleUp", "scale-up", "x7k2p")]),
    (failed(), [disrupted(), a_pod("Failed", terminated(137, "OOMKilled"), suffix="b")], []),
    (failed("DeadlineExceeded"), [a_pod("Running", running())], []),
]


@given(st.sampled_from(CASES).flatmap(lambda case: st.tuples(*(partial(part) for part in case))))
def test_what_a_server_writes_may_lack_parts(case: tuple[Any, Any, Any]) -> None:
    assert observe(*case).server_time == NOW


@given(
    st.sampled_from([("Complete", JobState.SUCCEEDED), ("Failed", JobState.FAILED)]),
    OBJECTS,
    st.lists(OBJECTS, max_size=2),
)
def test_a_finished_job_is_terminal_whatever_its_pods_say(verdict: Any, status: Any, pods: Any) -> None:
    kind, state = verdict
    assert observe(a_job({**status, "conditions": [condition(kind)]}), pods).state is state
