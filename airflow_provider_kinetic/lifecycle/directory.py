"""Which directory a submission works in: the one place where resuming is decided (``checkpointing`` 3.2).

In the job the rule is always "continue what is here", also for code that knows nothing of us. So whoever begins anew
gets another directory, ``dir~2``, ``dir~3``, …: the next generation of the trial. The newest generation is the trial.
What is there is asked of the store and not of Airflow's memory, which may be lost; that a training has ended well
is what its last end record says, not the task's state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import path_to_uri
from airflow_provider_kinetic.job.training.checkpoints import names_of
from airflow_provider_kinetic.job.training.steps import native_steps
from airflow_provider_kinetic.lifecycle import trial
from airflow_provider_kinetic.lifecycle.arguments import changes
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.lifecycle.together import together
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model import names, resume
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.spec import TaskIdentity
from airflow_provider_kinetic.model.target import Target
from airflow_provider_kinetic.stores.base import Store
from airflow_provider_kinetic.stores.vault import StoreVault

AT_ONCE = 8
"""Generations that are looked for in one round trip."""


@dataclass(frozen=True)
class Directory:
    """Where a submission works."""

    uri: str
    generation: int = 1
    last: trial.Attempt | None = None
    """The newest attempt there; None where nobody has begun."""
    notes: tuple[str, ...] = ()
    """For the task's log."""
    adopted: bool = False
    """An earlier try has chosen it for the same job."""


def output_directory(store: Store, target: Target, work: Work, record: SubmissionRecord) -> Directory:
    """Choose the directory of a submission that has none yet; two round trips at most where there was one run or none.

    :raises ConfigurationError: ``must`` and there is no checkpoint, or other arguments than before.
    """
    if record.output_dir:
        return Directory(record.output_dir, record.generation, adopted=True)
    base = base_of(target, work)
    place = _newest(store, base, record.generation)
    if not _continues(store, work, place):
        return _after(base, place)
    if work.resume.policy == resume.MUST and not _has_checkpoint(store, place.uri):
        raise ConfigurationError(
            f'resume="must", and there is no checkpoint in {place.uri}.',
            advice='Pass resume="auto" to begin there, or see whether `trial` or `output_dir` names the right one.',
        )
    return _shared(_compared(store, base, place, work), work)


def reopened(record: SubmissionRecord, target: Target, work: Work) -> SubmissionRecord:
    """The record with its directory to be chosen anew: not in an older generation than before, where it is the same."""
    return replace(record, output_dir="", generation=record.generation if _stays(record, target, work) else 1)


def is_renamed(record: SubmissionRecord, target: Target, work: Work) -> bool:
    """Whether the user names another trial or directory now than when the record was written."""
    return bool(work.output_dir or work.resume.trial) and not _stays(record, target, work)


def _stays(record: SubmissionRecord, target: Target, work: Work) -> bool:
    return record.output_dir == names.of_generation(base_of(target, work), record.generation)


def base_of(target: Target, work: Work) -> str:
    """The first generation."""
    if work.output_dir is not None:
        return _given(work.output_dir, target.output_root)
    if work.resume.trial:
        return names.shared_dir(_root(target), work.experiment, work.trial)
    return names.output_dir(_root(target), work.identity)


def _newest(store: Store, base: str, floor: int) -> Directory:
    """The newest generation in which anybody began, but not before ``floor``."""
    here = names.of_generation(base, floor)
    last, later = together(partial(trial.newest, store, here), partial(store.list, f"{base}~", limit=1))
    if not later:
        return Directory(here, floor, last)
    generation = _last_after(store, base, floor)
    first = _number(later[0].uri, base)
    if first > generation + AT_ONCE and (ahead := _last_after(store, base, first - 1)) >= first:
        generation = ahead  # a bucket has deleted those before it
    if generation == floor:
        return Directory(here, floor, last)
    uri = names.of_generation(base, generation)
    return Directory(uri, generation, trial.newest(store, uri))


def _last_after(store: Store, base: str, generation: int) -> int:
    while found := _begun(store, base, range(generation + 1, generation + 1 + AT_ONCE)):
        generation = found[-1]
    return generation


def _number(uri: str, base: str) -> int:
    """Of the generation in which ``uri`` lies; 0 where it is none."""
    number = uri.removeprefix(f"{base}~").partition("/")[0]
    return int(number) if number.isdecimal() else 0


def _begun(store: Store, base: str, generations: range) -> list[int]:
    layouts = [TrialLayout(names.of_generation(base, generation)) for generation in generations]
    found = together(*(partial(store.list, layout.attempts, limit=1) for layout in layouts))
    return [generation for generation, records in zip(generations, found, strict=True) if records]


def _continues(store: Store, work: Work, place: Directory) -> bool:
    """The table of ``checkpointing`` 3.2."""
    if work.resume.policy == resume.NEVER:
        return place.last is None and not store.list(f"{place.uri}/", limit=1)
    if work.resume.policy != resume.AUTO or work.output_dir is not None or place.last is None:
        return True
    return not (place.last.completed and _ended_well_here(store, work.identity, place))


def _ended_well_here(store: Store, identity: TaskIdentity, place: Directory) -> bool:
    """Whether this task instance has completed the trial: then it is cleared. Another run's was: this one trains on."""
    if place.last is not None and place.last.of(identity):
        return True
    mine = [attempt for attempt in trial.attempts(store, place.uri) if attempt.of(identity)]
    return bool(mine) and mine[-1].completed


def _compared(store: Store, base: str, place: Directory, work: Work) -> Directory:
    """Going on with other arguments is what the user said about it, where there is anything to go on with."""
    before = place.last.record if place.last is not None else {}
    digest = before.get("args_digest")
    if not digest or digest == work.arguments.digest or _is_bare(store, place.uri):
        return place
    known = trial.arguments(store, place.uri, digest)
    changed = "what they were is gone" if known is None else changes(known, work.arguments.values)
    what = f"the arguments of the trial in {place.uri} have changed: {changed}"
    if work.resume.on_mismatch == resume.FRESH:
        return replace(_after(base, place), notes=(f"Beginning anew, because {what}.",))
    if work.resume.on_mismatch == resume.WARN:
        return replace(place, notes=(f"Going on, although {what}.",))
    raise ConfigurationError(
        f"Not submitted, because {what}.",
        advice='Pass on_mismatch="warn" to go on all the same, on_mismatch="fresh" to begin anew, or a `trial` that '
        "names what is trained: the index of a mapped task is only the place in a list.",
    )


def _shared(place: Directory, work: Work) -> Directory:
    """Two tasks that name one trial take it from each other; which of them was meant to have it nobody knows."""
    last = place.last
    if last is None or last.end is not None or last.of(work.identity):
        return place
    note = f"Attempt {last.number} in {place.uri} has not ended. If {last.whose} still runs, it can save nothing more."
    return replace(place, notes=(*place.notes, note))


def _after(base: str, place: Directory) -> Directory:
    return Directory(names.of_generation(base, place.generation + 1), place.generation + 1)


def _is_bare(store: Store, uri: str) -> bool:
    """Only records of attempts that saved nothing lie there: neither checkpoints nor files of the user's own."""
    records = f"{TrialLayout(uri).records}/"
    first, rest = together(
        partial(store.list, f"{uri}/", limit=1),
        partial(store.list, f"{uri}/", after=f"{records[:-1]}0", limit=1),  # "0" comes behind "/"
    )
    return not rest and all(info.uri.startswith(records) for info in first)


def _has_checkpoint(store: Store, uri: str) -> bool:
    """One that is committed: ours, or Orbax's."""
    layout, vault = TrialLayout(uri), StoreVault(store)
    commits, deleted = together(partial(vault.list, layout.commits), partial(vault.list, layout.tombstones))
    return bool(names_of(commits) - names_of(deleted)) or bool(native_steps(vault, layout))


def _root(target: Target) -> str:
    """Several installations may share a bucket, with DAGs of the same names; this machine's folder is one's own."""
    shared = target.platform != "local" and target.installation
    return f"{target.output_root}/{names.slug(target.installation)}" if shared else target.output_root


def _given(output_dir: str, root: str) -> str:
    """A user's ``output_dir`` as URI of the platform's scheme; on this machine an absolute path will do."""
    scheme = root.partition("://")[0]
    on_this_machine = scheme == "file"
    if on_this_machine and output_dir.startswith("/"):
        output_dir = path_to_uri(output_dir)
    if output_dir.partition("://")[0] != scheme:
        path = "Pass an absolute path" if on_this_machine else f"Pass a URI that starts with {scheme}://"
        raise ConfigurationError(
            f"`output_dir` is {output_dir!r}, but this platform keeps outputs under {root!r}.",
            advice=f"{path}, or leave `output_dir` out.",
        )
    return names.check_length(output_dir.rstrip("/"), "output_dir")
