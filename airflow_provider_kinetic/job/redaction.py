"""Logs and error texts are kept for good and shown to many; values of secret variables are taken out first.

A variable counts as secret if the task says so (``protocol.ENV_MASKED``), in an error text also by its name, by the
rule that also warns at capture (``contract`` 6.4); in an address of a package or an index whatever logs in is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_kinetic.job import protocol

MASK = "***"
SHORTEST = 6
"""Shorter values would blot out ordinary words."""

LINES = 100
"""Of one value; a longer one is a bundle of certificates, no key."""

SECRET_WORDS = ("token", "secret", "key", "password", "credential")

_LOGIN = re.compile(r"(?<=://)(?!git@|\$\{)[^/\s'\"`]+(?=@)")
"""What stands between ``://`` and ``@``; git's usual user and references to variables are nobody's secret."""


def looks_secret(name: str) -> bool:
    """Whether a variable's name contains one of :data:`SECRET_WORDS`, in any case."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)


def named_values(environ: Mapping[str, str]) -> list[str]:
    """Of the variables that the task calls secret."""
    return _hidden(environ.get(name, "") for name in environ.get(protocol.ENV_MASKED, "").split())


def is_number(value: str) -> bool:
    """Then a name that looks secret means something else: ``MAX_TOKENS=4096``."""
    return value.strip().replace(".", "", 1).isdecimal()


def redact(text: str, environ: Mapping[str, str]) -> str:
    """``text`` without the values of secret variables, also of those that only their names tell."""
    told = (value for name, value in environ.items() if looks_secret(name) and not is_number(value))
    return str(_without(_hidden([*named_values(environ), *told]), text))


def masked(value: Any, environ: Mapping[str, str]) -> Any:
    """JSON whose texts are without what the task calls secret; the names of its members stay."""
    return _without(named_values(environ), value)


def _without(hidden: Iterable[str], value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(hidden, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(hidden, each) for each in value]
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, MASK)
    return value


def _hidden(values: Iterable[str]) -> list[str]:
    """What is to be replaced, the longest first: single lines, as those of a key are printed, and also as they stand
    in JSON or a ``repr``."""
    lines = {line.strip() for value in values for line in value.splitlines()[:LINES]}
    pieces = {piece for line in lines for piece in (line, json.dumps(line)[1:-1], repr(line)[1:-1])}
    return sorted((piece for piece in pieces if len(piece) >= SHORTEST), key=len, reverse=True)


def passwords_in(text: str) -> set[str]:
    """What logs in in the URLs of a text: passwords, and tokens that stand without one."""
    return {login.partition(":")[2] or login for login in _LOGIN.findall(text)}


def without_logins(text: str) -> str:
    """``text`` with URLs that log nobody in."""
    return _LOGIN.sub(MASK, text)
