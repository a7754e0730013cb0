"""One finding of a connection's Test: what was found, or why it failed and what to do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kinetic.model.errors import KineticError, StoreError

if TYPE_CHECKING:
    from airflow_provider_kinetic.stores.base import Store


@dataclass(frozen=True)
class Check:
    """One finding. ``advice`` is empty when all is well; beside ``ok`` it is a warning."""

    name: str
    ok: bool
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name}{':' if self.ok else ' failed:'} {self.detail} {self.advice}".strip()


def attempt(name: str, look: Callable[[], str], advice: str) -> Check:
    """Make one check; ``advice`` is for an error that brings none. Never raises."""
    try:
        return Check(name, True, look())
    except KineticError as error:
        return Check(name, False, error.summary, error.advice or advice)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}", advice)


def writable(store: Store, root: str) -> str:
    """Write, read and delete one object.

    :raises StoreError: one of these cannot be done.
    """
    probe = f"{root}/.kinetic-check-{uuid.uuid4().hex}"
    data = probe.encode()
    store.write(probe, data)
    try:
        if store.read(probe) != data:
            raise StoreError(f"{root} gave back other bytes than were written.", advice="Check the storage itself.")
    finally:
        store.delete(probe)
    return f"{root} can be read and written"


def summary(checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether all is well, and a text for a person: what failed and what to do, else what was found."""
    failed = [str(check) for check in checks if not check.ok]
    if failed:
        passed = ", ".join(check.name for check in checks if check.ok)
        return False, "\n".join([*failed, f"Passed: {passed or 'none'}."])
    return True, "\n".join(map(str, checks))
