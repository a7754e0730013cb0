"""What a trial was called with, in a form that may be kept and compared.

A trial that goes on with other arguments than it began with is usually a mistake, most of all in a mapped task, whose
index says only the place in a list. The arguments are part of the trial's records for that reason and for whoever reads
them later, so they hold no secret, have a bounded size, and are the same for the same call: the code of the function is
no part of them, because fixing a bug and going on must work (``checkpointing`` 3.2).
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from pathlib import PurePath
from typing import Any
from uuid import UUID

from airflow_provider_kinetic.job.redaction import MASK, looks_secret, without_logins
from airflow_provider_kinetic.model.data import Data

MOST = 16 << 10
"""Bytes of all arguments together."""
LONGEST = (1000, 100)
"""Characters of one value, and where that is too much for all together."""

_SHOWN = 80
"""Characters of a value that is cut."""
_AS_TEXT = (PurePath, date, time, timedelta, Decimal, UUID, Enum)
_PASSWORDS = ("passwd", "passphrase", "pwd", "authorization")
"""More words than for variables, whose names rarely hold these; Airflow hides values under most of them too."""
_NUMBERS_TOO = ("password", "secret", "credential", *_PASSWORDS)


@dataclass(frozen=True)
class Arguments:
    """Strict JSON by parameter name: masked, and long values cut to their beginning and their digest."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 hex; equal for equal arguments, whatever their secrets."""
        return hashlib.sha256(_canonical(dict(self.values)).encode()).hexdigest()

    @classmethod
    def of(
        cls, function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], omit: Collection[str] = ()
    ) -> Arguments:
        """Of a call, defaults applied. ``omit`` names parameters that say nothing about what is computed."""
        texts = {
            name: _text_of(name, value) for name, value in _bound(function, args, kwargs).items() if name not in omit
        }
        for longest in LONGEST:
            values = {name: _kept(text, longest) for name, text in texts.items()}
            if len(_canonical(values)) <= MOST:
                return cls(values)
        return cls({"": f"{len(texts)} arguments, sha256 {_digest(_canonical(texts))}"})


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs: ``lr: 0.1 → 0.2, seed: not given → 1``."""
    names = [name for name in {**old, **new} if old.get(name, _MISSING) != new.get(name, _MISSING)]
    return ", ".join(f"{name}: {_shown(old, name)} → {_shown(new, name)}" for name in names)


_MISSING = object()


def _shown(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "not given"


def _bound(function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """By parameter; by position where the call does not fit, which the job will say better."""
    try:
        signature = inspect.signature(function)
        bound = signature.bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return {**{str(index): value for index, value in enumerate(args)}, **kwargs}
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    return found


def _text_of(name: str, value: Any) -> str:
    """Canonical JSON without secrets; of what cannot be written down, the type's name."""
    try:
        text = json.dumps(value, sort_keys=True, default=_described)
    except Exception:  # keys of several types, a value that holds itself, or one that does not like to be looked at
        text = json.dumps(type(value).__qualname__)
    if '"' in text or "N" in text or "I" in text or _is_hidden(name):
        parsed = json.loads(text, object_hook=_masked, parse_constant=str)
        text = _canonical(_masked({name: parsed})[name])
    return without_logins(text)


def _described(value: Any) -> Any:
    """What JSON has no form for."""
    if isinstance(value, Data):
        return {"Data": value.path}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__qualname__: {each.name: getattr(value, each.name) for each in fields(value)}}
    if isinstance(value, set | frozenset):
        return sorted(_text_of("", each) for each in value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return getattr(value, "__qualname__", type(value).__qualname__)


def _masked(found: dict[str, Any]) -> dict[str, Any]:
    """Numbers are shown under ``max_tokens`` or ``key``, not under ``password``."""
    return {name: MASK if _is_secret(name, value) else value for name, value in found.items()}


def _is_secret(name: str, value: Any) -> bool:
    if value is None or not _is_hidden(name):
        return False
    return not isinstance(value, int | float) or any(word in name.lower() for word in _NUMBERS_TOO)


def _is_hidden(name: str) -> bool:
    return looks_secret(name) or any(word in name.lower() for word in _PASSWORDS)


def _kept(text: str, longest: int) -> Any:
    if len(text) <= longest:
        return json.loads(text)
    return f"{text[:_SHOWN]}… ({len(text)} characters, sha256 {_digest(text)})"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
