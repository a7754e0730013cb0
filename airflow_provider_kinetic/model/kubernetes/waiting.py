"""Why a Job has not started: queue, admission, scheduler, image, container, in the order in which they come."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.model.kubernetes.events import Event, Events
from airflow_provider_kinetic.model.kubernetes.job import QUEUE_LABEL
from airflow_provider_kinetic.model.kubernetes.objects import condition, section, text
from airflow_provider_kinetic.model.kubernetes.pods import Pod
from airflow_provider_kinetic.model.kubernetes.scheduling import why_unscheduled
from airflow_provider_kinetic.model.kubernetes.secret import secret_name
from airflow_provider_kinetic.model.status import Reason

_IMAGE = {
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
}
_IMAGE_CAUSES = {
    "access to it is denied": ("forbidden", "denied", "unauthorized", "permission"),
    "there is no such image or tag": ("not found", "manifest unknown", "does not exist", "notfound"),
    "its name is not valid": ("invalid reference", "couldn't parse image", "failed to apply default image tag"),
    "the registry cannot be reached": ("i/o timeout", "no such host", "connection refused", "tls:", "unavailable"),
    "it is not on the node, and may not be pulled": ("pull policy of never",),
}
_NO_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found|service account (\S+): ')
_QUOTA = re.compile(r"exceeded quota: ")
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request')
_PULLING = re.compile(r'Back-off pulling image "[^"]*"(?:: ErrImagePull)?(?:: )?|Failed to pull image "[^"]*": ')
"""What stands before the cause: the same failure reads differently every few seconds, as the kubelet tries again."""
_QUEUE_EVENTS = ("Suspended", "Stopped", "Pending", "QuotaReserved", "Preempted")
_MEASURE = 300
"""Characters of a foreign message that are shown."""


def why_waiting(job: Mapping[str, Any], pods: Sequence[Pod], events: Events) -> tuple[Reason, str]:
    """A reason and one line for a Job that is neither running nor finished; pods newest first."""
    name = text(job, "metadata", "name")
    if suspended(job):
        return Reason.QUEUED, _queued(job, events)
    current = next((pod for pod in pods if not pod.ended and not pod.deleting), None)
    if current is None:
        refused = events.newest("Job", name, "FailedCreate", "SuccessfulCreate")
        made_since = any(pod.created >= refused.at for pod in pods) if refused else False
        if refused and refused.reason == "FailedCreate" and not made_since:
            return _refused(refused)
        return Reason.STARTING, _between(pods)
    if waiting := current.waiting:
        return _blocked(current, waiting, events, name)
    if current.unscheduled:
        return why_unscheduled(current, events)
    return Reason.STARTING, _placed(current, events)


def suspended(job: Mapping[str, Any]) -> bool:
    """It may have no pods at present."""
    return section(job, "spec").get("suspend") is True or condition(job, "Suspended") is not None


def _between(pods: Sequence[Pod]) -> str:
    if not pods:
        return "the pod is being created"
    return "the pod has ended and the next one is being created" if pods[0].ended else "the pod is ending"


def _queued(job: Mapping[str, Any], events: Events) -> str:
    queue = text(job, "metadata", "labels", QUEUE_LABEL)
    said = events.newest("Job", text(job, "metadata", "name"), *_QUEUE_EVENTS)
    where = f"waiting in the queue {queue}" if queue else "suspended: it starts when `suspend` is cleared"
    return f"{where}: {_short(said.message)}" if said and said.message else where


def _refused(event: Event) -> tuple[Reason, str]:
    """The API server did not take the pod: the Job itself was fine."""
    message = event.message
    if account := _NO_ACCOUNT.search(message):
        name = (account[1] or account[2]).rpartition("/")[2]
        return Reason.SERVICE_ACCOUNT, f"there is no service account {name!r} in the namespace"
    if _QUOTA.search(message):
        return Reason.QUOTA, f"a quota of the namespace is used up: {_short(_behind(message, 'exceeded quota: '))}"
    if webhook := _WEBHOOK.search(message):
        rest = _behind(message, "denied the request").lstrip(": ")
        return Reason.ADMISSION, f"the admission webhook {webhook[1]} refuses the pod: {_short(rest)}"
    return Reason.ADMISSION, f"the pod is refused: {_short(message)}"


def _blocked(pod: Pod, waiting: Mapping[str, Any], events: Events, job: str) -> tuple[Reason, str]:
    reason, message = text(waiting, "reason"), " ".join(text(waiting, "message").split())
    if reason in _IMAGE:
        return Reason.IMAGE, _image(pod, reason, message, events)
    if secret_name(job) in message and "not found" in message:
        return Reason.STARTING, "waiting for the job's Secret"
    return Reason.CONTAINER, f"the container cannot be started: {reason}: {_short(message)}".rstrip(": ")


def _image(pod: Pod, reason: str, message: str, events: Events) -> str:
    """Back-off says nothing of the cause on older servers: there only the event has it."""
    failed = events.newest("Pod", pod.name, "Failed", "InspectFailed", "ErrImageNeverPull")
    details = _PULLING.sub("", message).strip() or (_PULLING.sub("", failed.message) if failed else message)
    image = text(pod.container_status, "image") or text(pod.container, "image") or "of the job"
    cause = next(
        (cause for cause, signs in _IMAGE_CAUSES.items() if any(it in details.lower() for it in signs)), reason
    )
    return f"the image {image} cannot be pulled: {cause}" + (f" ({_short(details)})" if details else "")


def _placed(pod: Pod, events: Events) -> str:
    said = events.newest("Pod", pod.name)
    if said and (said.warning or said.reason == "Pulling"):
        return f"on {pod.node or 'its node'}: {_short(said.message)}"
    return f"the container is being created on {pod.node}" if pod.node else "the pod waits for the scheduler"


def _behind(message: str, phrase: str) -> str:
    return message.partition(phrase)[2]


def _short(message: str) -> str:
    return message if len(message) <= _MEASURE else message[: _MEASURE - 1] + "…"
