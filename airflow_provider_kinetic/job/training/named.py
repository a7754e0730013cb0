"""Checkpoints that somebody names: a value of this or another trial, one that came through XCom, or a URI."""

from __future__ import annotations

import json
import os
from typing import Any, Protocol, Union

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.job.training.checkpoints import KINETIC, Checkpoint, commit_of
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.job.vaults import Vault, as_uri
from airflow_provider_kinetic.model.errors import CheckpointCorrupt, ConfigurationError


class HasUri(Protocol):
    """A ``KineticCheckpoint``, for one."""

    @property
    def uri(self) -> str: ...


Named = Union[Checkpoint, HasUri, str, "os.PathLike[str]"]


def uri_of(named: Named) -> str:
    """Without a final slash."""
    return as_uri(named if isinstance(named, (str, os.PathLike)) else named.uri)


def checkpoint_of(named: Named, vault: Vault) -> Checkpoint:
    """The checkpoint with what its commit record says.

    :raises CheckpointCorrupt: there is none any more, or its record cannot be read.
    :raises ConfigurationError: that is no checkpoint of ``save``.
    """
    if isinstance(named, Checkpoint) and named.kind == KINETIC:
        return named
    uri = uri_of(named)
    directory, _, folder = uri.rpartition("/checkpoints/")
    name = Name.parse(folder)
    if not directory or name is None:
        raise _foreign(uri, is_step=folder.isdecimal())
    layout = TrialLayout(directory)
    try:
        record: Any = json.loads(vault.read(layout.commit(folder)))
        return commit_of(record, name, layout)
    except ObjectMissing:
        raise _unusable(uri, "is not there, or no longer: it has no commit record") from None
    except (ValueError, TypeError, KeyError) as error:
        raise _unusable(uri, f"cannot be used: {error}") from error


def _unusable(uri: str, what: str) -> CheckpointCorrupt:
    advice = "Name one that exists. A trial keeps its newest checkpoints, and those that are pinned."
    return CheckpointCorrupt(f"The checkpoint {uri} {what}.", advice=advice)


def _foreign(uri: str, *, is_step: bool) -> ConfigurationError:
    if is_step:
        return ConfigurationError(
            f"{uri} is a step of Orbax; restore() opens checkpoints of save() alone.",
            advice="Open it with Orbax: its CheckpointManager for the folder above, with this step.",
        )
    return ConfigurationError(
        f"{uri} is no checkpoint of save(): those are folders like {{output_dir}}/checkpoints/{Name(1200, 1, 1)}.",
        advice="Read its files with what wrote them. What a task names in restore_from is job.trial().source.",
    )
