"""The Job controller: makes pods, counts their ends once, and tells how the Job ended.

As in the real one a pod's end is first noted as uncounted, then the pod loses its tracking finalizer, then it is
counted; a Job that ends shows SuccessCriteriaMet or FailureTarget first, and Complete or Failed when its pods stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from kube import conditions, pod_failure_policy
from kube.clock import seconds
from kube.control_loop import Key
from kube.errors import Object, Refusal
from kube.events import Events
from kube.registry import Registry
from kube.resources import JOBS, PODS
from kube.store import Change, copied, deleting

TRACKING = "batch.kubernetes.io/job-tracking"
_ENDED = ("Succeeded", "Failed")


class JobController:
    """``backoff``: seconds before the pod after the first failure, doubled for each further one (really 10)."""

    def __init__(self, registry: Registry, events: Events, *, backoff: float) -> None:
        self._registry = registry
        self._store = registry.store
        self._clock = registry.store.clock
        self._events = events
        self._backoff = backoff
        self._failures: dict[str, tuple[int, float]] = {}

    def interested(self, change: Change) -> Iterable[Key]:
        meta = change.last["metadata"]
        if change.resource == JOBS:
            return [(meta["namespace"], meta["name"])]
        if change.resource == PODS:
            owners = [one for one in meta.get("ownerReferences", []) if one["kind"] == "Job"]
            if not owners and TRACKING in meta.get("finalizers", []) and change.new is not None:
                return [(meta["namespace"], "pod/" + meta["name"])]
            return [(meta["namespace"], one["name"]) for one in owners]
        return ()

    def reconcile(self, key: Key) -> float | None:
        namespace, name = key
        if name.startswith("pod/"):
            self._untrack([self._store.find(PODS, namespace, name[4:])])  # an orphan is nobody's to count
            return None
        job = self._store.find(JOBS, namespace, name)
        pods = self._pods(job, namespace, name)
        if job is None or deleting(job):
            self._untrack(pods)
            return None
        if _finished(job):
            self._untrack(pods)
            return self._expire(job)
        return self._sync(job, pods)

    def _pods(self, job: Object | None, namespace: str, name: str) -> list[Object]:
        if job is not None:
            return [each for resource, each in self._store.owned(job["metadata"]["uid"]) if resource == PODS]
        return [
            pod
            for pod in self._store.list(PODS, namespace)[0]
            if any(one["kind"] == "Job" and one["name"] == name for one in pod["metadata"].get("ownerReferences", []))
        ]

    def _untrack(self, pods: Iterable[Object | None]) -> None:
        for pod in pods:
            if pod is not None and TRACKING in pod["metadata"].get("finalizers", []):
                self._store.mutate(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], _drop_tracking)

    def _expire(self, job: Object) -> float | None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return None
        ended = next(one for one in job["status"]["conditions"] if one["type"] in ("Complete", "Failed"))
        left = seconds(ended["lastTransitionTime"]) + ttl - self._clock.now()
        if left > 0:
            return left
        meta = job["metadata"]
        self._registry.delete(JOBS, meta["namespace"], meta["name"], {"propagationPolicy": "Foreground"})
        return None

    def _sync(self, job: Object, pods: list[Object]) -> float | None:
        new = copied(job)
        status = new.setdefault("status", {})
        if not job["spec"]["suspend"] and "startTime" not in status:
            status["startTime"] = self._clock.stamp()
        target = self._count(new, pods)
        live = [pod for pod in pods if not _over(job, pod)]
        active = [pod for pod in live if not deleting(pod)]
        stopping = [pod for pod in pods if deleting(pod) and pod["status"]["phase"] not in _ENDED]
        again = self._judge(new, target, active, stopping)
        if again is None and not _ending(new):
            again = self._manage(new, active, stopping)
            active = self._active(new)
        self._write(new, active, stopping)
        return again

    def _active(self, job: Object) -> list[Object]:
        owned = [each for resource, each in self._store.owned(job["metadata"]["uid"]) if resource == PODS]
        return [pod for pod in owned if not _over(job, pod) and not deleting(pod)]

    def _count(self, job: Object, pods: list[Object]) -> tuple[str, str] | None:
        """Counts pods that ended, each once; the reason and message with which the Job must fail, if any."""
        status = job["status"]
        ended = [pod for pod in pods if TRACKING in pod["metadata"].get("finalizers", []) and _over(job, pod)]
        if not ended:
            return None
        target, counted, waiting = None, {"succeeded": 0, "failed": 0}, {}
        for pod in ended:
            kind, action, message = self._outcome(job, pod)
            if action == "FailJob":
                target = target or ("PodFailurePolicy", message)
            if action != "Ignore":
                counted[kind] += 1
                waiting.setdefault(kind, []).append(pod["metadata"]["uid"])
        status["uncountedTerminatedPods"] = waiting
        self._write(job, [pod for pod in pods if not _over(job, pod)], [])
        self._untrack(ended)
        status["uncountedTerminatedPods"] = {}
        for kind, number in counted.items():
            if number:
                status[kind] = status.get(kind, 0) + number
        return target

    def _outcome(self, job: Object, pod: Object) -> tuple[str, str, str]:
        """(succeeded or failed, what the policy makes of it, its message)."""
        if pod["status"]["phase"] == "Succeeded":
            return "succeeded", "Count", ""
        if job["spec"]["suspend"] and deleting(pod):
            return "failed", "Ignore", ""  # stopped by the suspension
        uid = job["metadata"]["uid"]
        self._failures[uid] = (self._failures.get(uid, (0, 0.0))[0] + 1, self._clock.now())
        return "failed", *pod_failure_policy.decide(job, pod)

    def _judge(
        self, job: Object, target: tuple[str, str] | None, active: list[Object], stopping: list[Object]
    ) -> float | None:
        """Ends the Job where it is to end; seconds until its deadline where there is one and it is far."""
        spec, status = job["spec"], job["status"]
        if not _ending(job):
            wanted = spec["completions"] if spec.get("completions") is not None else None
            late = self._late(job)
            if wanted is not None and status.get("succeeded", 0) >= wanted:
                self._end(job, "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
            elif target:
                self._end(job, "FailureTarget", *target)
            elif status.get("failed", 0) > spec["backoffLimit"]:
                self._end(job, "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
            elif late is not None and late <= 0:
                self._end(job, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        if not _ending(job):
            return None
        self._stop(active)
        if active or stopping:
            return 0.05
        self._close(job)
        return None

    def _late(self, job: Object) -> float | None:
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is None or job["spec"]["suspend"] or "startTime" not in job["status"]:
            return None
        return seconds(job["status"]["startTime"]) + deadline - self._clock.now()

    def _end(self, job: Object, kind: str, reason: str, message: str) -> None:
        conditions.put(job["status"], self._clock, kind, reason=reason, message=message)

    def _close(self, job: Object) -> None:
        failed = conditions.holds(job, "FailureTarget")
        cause = conditions.find(job, "FailureTarget" if failed else "SuccessCriteriaMet")
        assert cause is not None
        self._end(job, "Failed" if failed else "Complete", cause["reason"], cause["message"])
        if not failed:
            job["status"]["completionTime"] = self._clock.stamp()
        reason, kind = (cause["reason"], "Warning") if failed else ("Completed", "Normal")
        message = cause["message"] if failed else "Job completed"
        self._events.tell(job, reason, message, component="job-controller", kind=kind)

    def _manage(self, job: Object, active: list[Object], stopping: list[Object]) -> float | None:
        spec, status = job["spec"], job["status"]
        if spec["suspend"]:
            self._stop(active)
            if not conditions.holds(job, "Suspended"):
                conditions.put(status, self._clock, "Suspended", reason="JobSuspended", message="Job suspended")
                self._events.tell(job, "Suspended", "Job suspended", component="job-controller")
            status.pop("startTime", None)
            return None
        if conditions.holds(job, "Suspended"):
            conditions.put(status, self._clock, "Suspended", "False", reason="JobResumed", message="Job resumed")
            self._events.tell(job, "Resumed", "Job resumed", component="job-controller")
        wanted = spec["parallelism"]
        if spec.get("completions") is not None:
            wanted = min(wanted, spec["completions"] - status.get("succeeded", 0))
        have = len(active) + (len(stopping) if spec["podReplacementPolicy"] == "Failed" else 0)
        if have < wanted and (wait := self._wait(job)) > 0:
            return wait
        for _ in range(wanted - have):
            if not self._start(job):
                return 0.5
        self._stop(active[wanted:])
        late = self._late(job)
        return None if late is None else max(late, 0.01)

    def _wait(self, job: Object) -> float:
        number, at = self._failures.get(job["metadata"]["uid"], (0, 0.0))
        return at + self._backoff * 2 ** (number - 1) - self._clock.now() if number else 0.0

    def _start(self, job: Object) -> bool:
        meta, template = job["metadata"], copied(job["spec"]["template"])
        template["metadata"] |= {"generateName": meta["name"] + "-", "finalizers": [TRACKING]}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
        template["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
        try:
            pod = self._registry.create(PODS, meta["namespace"], template)
        except Refusal as refusal:
            text = f"Error creating: {refusal.message}"
            self._events.tell(job, "FailedCreate", text, component="job-controller", kind="Warning")
            return False
        self._events.tell(
            job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", component="job-controller"
        )
        return True

    def _stop(self, pods: list[Object]) -> None:
        for pod in pods:
            self._registry.delete(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _write(self, job: Object, active: list[Object], stopping: list[Object]) -> None:
        status = job["status"]
        status["ready"] = sum(conditions.holds(pod, "Ready") for pod in active)
        status["terminating"] = len(stopping)
        status.setdefault("uncountedTerminatedPods", {})
        status.pop("active", None)
        if active and not _finished(job):
            status["active"] = len(active)
        meta = job["metadata"]
        self._store.mutate(JOBS, meta["namespace"], meta["name"], lambda new: new.update(status=copied(status)))


def _finished(job: Object) -> bool:
    return conditions.holds(job, "Complete") or conditions.holds(job, "Failed")


def _ending(job: Object) -> bool:
    return conditions.holds(job, "SuccessCriteriaMet") or conditions.holds(job, "FailureTarget")


def _over(job: Object, pod: Object) -> bool:
    """Whether a pod counts as ended; one that is being deleted does, unless it is replaced only when it failed."""
    if pod["status"]["phase"] in _ENDED:
        return True
    return deleting(pod) and job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"


def _drop_tracking(pod: Object) -> None:
    pod["metadata"]["finalizers"] = [one for one in pod["metadata"].get("finalizers", []) if one != TRACKING]
    if not pod["metadata"]["finalizers"]:
        del pod["metadata"]["finalizers"]
