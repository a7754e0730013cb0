"""One build for many: who builds a tag is settled by create-only objects in the store that all of them share.

::

    {root}/_images/{tag}/{n}/claim.json    somebody builds; its nonce is also a tag of the build
                             build.json    the build that runs, or that the claim is void
                             failed.json   it came to nothing, and why: whoever wants the image claims n + 1
                             seen-….json   when somebody last waited for build.json

Between the claim and ``build.json`` the claimer may die. Then nobody knows whether it has started the build, so after
:data:`LIFETIME` the others look for a build that carries the nonce: they adopt that, or declare the claim void.
A claimer that was merely slow starts nothing any more after half that time; one that finds its claim void although
its build runs, cancels the build again. Each object is written once, so nobody can disagree about what it says.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing

FOLDER = "_images"
LIFETIME = 60.0
"""Seconds, by the store's clock, after which a claim without a build is that of a dead claimer."""

VOID = "void"
"""Key of a ``build.json`` that says that there is no build."""

_CLAIM, _BUILD, _FAILED, _SEEN = "claim.json", "build.json", "failed.json", "seen-"


class Listed(Protocol):
    """What a listing says of an object. ``updated`` is in Unix seconds by the store's clock."""

    @property
    def uri(self) -> str: ...

    @property
    def updated(self) -> float: ...


class Objects(Protocol):
    """What of the ``Store`` port claims need."""

    def read(self, uri: str) -> bytes: ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None: ...

    def list(self, prefix: str) -> Sequence[Listed]: ...


@dataclass(frozen=True)
class Turn:
    """The newest claim of a tag."""

    number: int
    built: bool
    """A build is known."""
    failed: bool
    """It came to nothing."""
    age: float | None
    """Seconds from the claim to the last mark of those who wait for its build, a lower bound; None: no marks."""


class Claims:
    """The claims of one tag.

    :param root: where jobs' objects lie: ``gs://{bucket}``.
    """

    def __init__(self, store: Objects, root: str, tag: str) -> None:
        self._store = store
        self._folder = f"{root}/{FOLDER}/{tag}"

    def uri(self, number: int, name: str) -> str:
        """Of an object that belongs to a claim."""
        return f"{self._folder}/{number}/{name}"

    def newest(self) -> Turn | None:
        """None where nobody has claimed. One request."""
        claims: dict[int, dict[str, float]] = {}
        for each in self._store.list(f"{self._folder}/"):
            digits, _, name = each.uri.removeprefix(f"{self._folder}/").partition("/")
            if digits.isdigit() and name:
                claims.setdefault(int(digits), {})[name] = each.updated
        if not claims:
            return None
        number = max(claims)
        names = claims[number]
        claimed = names.get(_CLAIM)
        seen = [updated for name, updated in names.items() if name.startswith(_SEEN)]
        age = max(seen) - claimed if seen and claimed is not None else None
        return Turn(number, _BUILD in names, _FAILED in names, age)

    def claim(self, number: int) -> str | None:
        """The nonce of our claim; None where somebody else was first."""
        nonce = f"claim-{secrets.token_hex(8)}"
        return nonce if self._create(number, _CLAIM, {"nonce": nonce}) else None

    def nonce(self, number: int) -> str:
        """Of a claim; empty where it is gone."""
        return str((self._read(number, _CLAIM) or {}).get("nonce", ""))

    def mark(self, number: int, who: str) -> None:
        """Leave a mark, whose time tells by the store's clock how old the claim is."""
        self._store.write(self.uri(number, f"{_SEEN}{who}.json"), b"{}")

    def build(self, number: int) -> dict[str, Any] | None:
        """What was written down of the build, or that there is none (:data:`VOID`); None where it is gone."""
        return self._read(number, _BUILD)

    def settle(self, number: int, build: dict[str, Any]) -> dict[str, Any]:
        """Write down which build runs, or that there is none; what holds is what was written first."""
        if self._create(number, _BUILD, build):
            return build
        return self.build(number) or build

    def failure(self, number: int) -> dict[str, Any] | None:
        """Why nothing came of it; None where nothing is known of a failure."""
        return self._read(number, _FAILED)

    def fail(self, number: int, why: dict[str, Any]) -> None:
        """Write down that nothing came of it. The first to say so is heard."""
        self._create(number, _FAILED, why)

    def _create(self, number: int, name: str, content: dict[str, Any]) -> bool:
        try:
            self._store.write(self.uri(number, name), json.dumps(content).encode(), if_absent=True)
        except ObjectExists:
            return False
        return True

    def _read(self, number: int, name: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._store.read(self.uri(number, name))))
        except ObjectMissing:
            return None
