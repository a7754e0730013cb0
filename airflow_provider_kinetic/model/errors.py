"""Every error that this provider raises, in one tree.

::

    KineticError
    ├── ConfigurationError         what was asked for cannot be done; nothing was sent
    │   ├── AcceleratorError       no such accelerator, or not in that size
    │   ├── ConnectionError_       the Airflow connection is missing or incomplete
    │   ├── UnsupportedParameter   the platform cannot honour a parameter
    │   ├── SerializationError     a function, argument or closure variable cannot be pickled
    │   ├── RequirementsError      a requirement line cannot be used
    │   ├── JobNotFound            no job of that id
    │   ├── JobConflict            the id belongs to another submission
    │   └── ResultError            the value cannot be handed on as asked
    │       ├── ResultTooLarge
    │       └── ResultUnreadable   a type that this machine cannot import
    ├── UserCodeError              the function raised; its exception is ``__cause__``
    └── InfrastructureError        neither the function nor the request is to blame
        ├── JobPreempted           taken away more often than ``max_preemptions``
        ├── JobStalled             no progress for ``stall_timeout``
        ├── JobEvicted             the machine ran out of something
        ├── JobOutOfMemory         killed at its memory limit
        ├── JobUnschedulable       no machine for it
        ├── ImageError             the image or environment could not be built or pulled
        ├── QuotaExceeded
        ├── JobVanished            the machine or the job object is gone without a result
        ├── JobTimeout             ``startup_timeout`` or ``run_timeout`` passed
        ├── JobCancelled           deleted on request
        ├── ArtifactCorrupt        an object is not the one that was written
        │   └── CheckpointCorrupt  a checkpoint's files are gone or changed
        ├── ResultGone             somebody has collected or deleted the result before
        ├── StoreError             the object store failed or refused
        │   └── StoreForbidden     this identity lacks a permission there
        └── ClusterError           the cluster failed or refused

    SystemExit
    └── Preempted                  in the job: this attempt ends here and another one continues
        └── Superseded             another one has begun already

The last two are no failures, so ``except Exception`` in a training loop lets them pass.

``category`` is a stable word for scripts and retry policies, ``summary`` one line of cause and
``advice`` one line of what to do. Only builtins travel on the wire (``contract`` M10); this module is
standard library only because it also travels to the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class KineticError(Exception):
    """Base of all. ``str(error)`` is the summary, then the advice on a line of its own."""

    category: ClassVar[str] = "kinetic"
    remote_traceback: str = ""
    """Text of the job where it was raised there."""

    def __init__(self, summary: str, *, advice: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.summary}\n{self.advice}" if self.advice else self.summary

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.summary, self.advice))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the event of a trigger."""
        return {"category": self.category, "summary": self.summary, "advice": self.advice}

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> KineticError:
        """The error that says the same; of a category that this version does not know: the base of all.

        Where several share a category, it is the one that the others are kinds of.
        """
        kinds = [KineticError]
        while kinds and kinds[-1].category != raw.get("category"):
            kinds.extend(kinds.pop().__subclasses__())
        found = kinds[-1] if kinds else KineticError
        return found(str(raw.get("summary", "")), advice=str(raw.get("advice", "")))


def _rebuild(kind: type[KineticError | Preempted], summary: str, advice: str) -> KineticError | Preempted:
    return kind(summary, advice=advice)


class ConfigurationError(KineticError):
    """What was asked for cannot be done. Raised before anything is sent wherever that is possible."""

    category = "configuration"


class AcceleratorError(ConfigurationError):
    """No such accelerator, or not in that size (contract 2.4)."""

    category = "accelerator"


class ConnectionError_(ConfigurationError):
    """The Airflow connection is missing or incomplete. The underscore keeps the builtin's name free."""

    category = "connection"


class UnsupportedParameter(ConfigurationError):
    """The platform of the connection cannot honour this parameter."""

    category = "unsupported"


class SerializationError(ConfigurationError):
    """A function, argument or closure variable cannot be pickled."""

    category = "serialization"


class RequirementsError(ConfigurationError):
    """A requirement line cannot be used (contract 4.5)."""

    category = "requirements"


class JobNotFound(ConfigurationError):
    """No job of that id in the store of this connection."""

    category = "not_found"


class JobConflict(ConfigurationError):
    """A job of that id exists and belongs to another submission."""

    category = "conflict"


class ResultError(ConfigurationError):
    """The function's value cannot be handed on as asked."""

    category = "result"


class ResultTooLarge(ResultError):
    """Larger than XCom may hold."""

    category = "result_too_large"


class ResultUnreadable(ResultError):
    """The value's type cannot be imported on this machine, or is not JSON although JSON was asked for."""

    category = "result_unreadable"


class UserCodeError(KineticError):
    """The function raised. Its own exception is ``__cause__``; ``remote_traceback`` is the text of the job."""

    category = "user_code"

    def __init__(self, summary: str, *, advice: str = "", remote_traceback: str = "") -> None:
        super().__init__(summary, advice=advice)
        self.remote_traceback = remote_traceback


class InfrastructureError(KineticError):
    """Neither the function nor the request is to blame: a retry may succeed."""

    category = "infrastructure"


class JobPreempted(InfrastructureError):
    """The machine was taken away more often than ``max_preemptions`` allows."""

    category = "preempted"


class JobStalled(InfrastructureError):
    """The function made no progress for ``stall_timeout`` and was ended; a retry goes on from the last checkpoint."""

    category = "stalled"


class JobEvicted(InfrastructureError):
    """The machine ran out of something."""

    category = "evicted"


class JobOutOfMemory(InfrastructureError):
    """Killed at its memory limit."""

    category = "out_of_memory"


class JobUnschedulable(InfrastructureError):
    """No machine for it."""

    category = "unschedulable"


class ImageError(InfrastructureError):
    """The image or environment could not be built or pulled."""

    category = "image"


class QuotaExceeded(InfrastructureError):
    """A quota of the project is used up."""

    category = "quota"


class JobVanished(InfrastructureError):
    """The machine or the job object is gone without a result."""

    category = "vanished"


class JobTimeout(InfrastructureError):
    """``startup_timeout`` or ``run_timeout`` passed."""

    category = "timeout"


class JobCancelled(InfrastructureError):
    """Deleted on request while it ran."""

    category = "cancelled"


class ArtifactCorrupt(InfrastructureError):
    """An object is not the one that was written: its digest differs."""

    category = "corrupt"


class CheckpointCorrupt(ArtifactCorrupt):
    """A file of a checkpoint is gone, or is not the one that was saved."""

    category = "checkpoint_corrupt"


class ResultGone(InfrastructureError):
    """There was a result, and somebody has collected it with its job, or deleted it."""

    category = "result_gone"


class StoreError(InfrastructureError):
    """The object store failed or refused."""

    category = "store"


class StoreForbidden(StoreError):
    """The identity that asked lacks a permission; another one, the job's, may have it."""

    category = "store_forbidden"


class ClusterError(InfrastructureError):
    """The cluster failed or refused."""

    category = "cluster"


class Preempted(SystemExit):
    """In the job: it was asked to stop, this attempt ends here and another one continues (checkpointing 3.8).

    A ``SystemExit`` with code 143 (128 + SIGTERM), so that it ends the process even where the user's code catches
    every ``Exception``.
    """

    category: ClassVar[str] = "preempted"

    def __init__(self, summary: str = "This attempt was asked to stop.", *, advice: str = "") -> None:
        super().__init__(143)
        self.summary = summary
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.summary}\n{self.advice}" if self.advice else self.summary

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.summary, self.advice))


class Superseded(Preempted):
    """In the job: a newer attempt of the same trial has begun, so nothing that this one saves counts any more."""

    category = "superseded"
