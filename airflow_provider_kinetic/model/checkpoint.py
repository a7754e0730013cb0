"""A checkpoint as tasks hand it on: its place and what is known of it, without its files.

XCom carries it as JSON, a function gets it as an argument and restores from it, and what a function returns of the
job's own checkpoints arrives as this (``checkpointing`` 3.11). It travels to the job: standard library only,
CPython ≥ 3.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from airflow_provider_kinetic.model.errors import ConfigurationError


@dataclass(frozen=True)
class KineticCheckpoint:
    """Names a checkpoint of any trial: ``job.trial().restore(checkpoint)``, or ``restore_from=`` of a task.

    It is a value: that the files are still there is found out when they are fetched.
    """

    uri: str
    step: int = 0
    """So many steps were completed."""
    attempt: int = 0
    """0 where it is not known, as of Orbax."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What was given to ``save``."""
    kind: str = "kinetic"
    """Or ``"orbax"``."""
    bytes: int = 0

    __version__: ClassVar[int] = 1
    """Of the XCom form, for Airflow's serializer."""

    @classmethod
    def of(cls, checkpoint: Any) -> KineticCheckpoint:
        """From anything with these attributes, such as a ``job.Checkpoint``."""
        return cls(**{each.name: getattr(checkpoint, each.name) for each in fields(cls)})

    def serialize(self) -> dict[str, Any]:
        """Plain JSON; Airflow's serializer calls this."""
        return {**asdict(self), "metadata": dict(self.metadata)}

    @staticmethod
    def deserialize(data: Mapping[str, Any], version: int = 1) -> KineticCheckpoint:
        """The value behind :meth:`serialize`; what a later version has added is passed over.

        :raises ConfigurationError: of a version that cannot be read, or not of :meth:`serialize` at all.
        """
        if version > KineticCheckpoint.__version__ or not isinstance(data.get("uri"), str):
            raise ConfigurationError(
                f"{data!r:.500} of version {version} is no checkpoint that this provider can read.",
                advice="Run the same version of airflow_provider_kinetic on all workers.",
            )
        return KineticCheckpoint(
            **{each.name: data[each.name] for each in fields(KineticCheckpoint) if each.name in data}
        )
