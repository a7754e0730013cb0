"""The checkpoint that a new trial begins with: looked for before anything is sent, while the store is asked anyway."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.training.lineage import Name
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.model.errors import ConfigurationError, StoreForbidden
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.base import Store


@dataclass(frozen=True)
class Source:
    """What was found under ``restore_from``."""

    trouble: ConfigurationError | None = None
    """Why a trial cannot begin with it. One that has a checkpoint of its own needs it no more."""
    notes: tuple[str, ...] = ()


NONE = Source()


def look(store: Store, target: Target, uri: str) -> Source:
    """One round trip.

    :raises ConfigurationError: the jobs of this platform cannot reach such a URI.
    """
    if not uri:
        return NONE
    scheme = target.output_root.partition("://")[0]
    if uri.partition("://")[0] != scheme:
        raise ConfigurationError(
            f"`restore_from` is {uri!r}, but jobs of this platform read {scheme}://.",
            advice="Pass a checkpoint that lies there, or a `kinetic_conn_id` of the platform that has it.",
        )
    try:
        return _found(store, uri)
    except StoreForbidden:
        return Source(notes=(f"This worker may not look at {uri}: whether it is there is for the job to see.",))


def _found(store: Store, uri: str) -> Source:
    directory, _, name = uri.rpartition("/checkpoints/")
    if directory and Name.parse(name):
        if store.stat(TrialLayout(directory).commit(name)) is None:
            return _missing(uri)
        return NONE
    commits = TrialLayout(uri).commits
    content, of_a_trial = together(partial(store.list, f"{uri}/", limit=1), partial(store.list, commits, limit=1))
    if of_a_trial:
        newest = "airflow kinetic checkpoints list"
        return _trouble(f"{uri} is the directory of a trial and not a checkpoint", f"Pick one: `{newest}` shows them")
    if not content:
        return _missing(uri)
    hint = f"{uri} is no checkpoint of job.trial().save(): the function opens it by itself, as job.trial().source."
    return Source(notes=(hint,))


def _missing(uri: str) -> Source:
    advice = "Name one that exists; a trial keeps its newest ones and those that are pinned"
    return _trouble(f"there is no checkpoint {uri}", advice)


def _trouble(what: str, advice: str) -> Source:
    return Source(trouble=ConfigurationError(f"`restore_from`: {what}.", advice=f"{advice}."))
