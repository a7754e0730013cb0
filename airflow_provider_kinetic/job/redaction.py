"""Error texts are kept for good and shown to many; values of secret variables are taken out first.

A variable counts as secret by its name, by the rule that also warns at capture (``contract`` 6.4); in an address of a
package or an index whatever logs in is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"
SHORTEST = 6
"""Shorter values would blot out ordinary words."""

SECRET_WORDS = ("token", "secret", "key", "password", "credential")

_LOGIN = re.compile(r"(?<=://)(?!git@|\$\{)[^/\s'\"`]+(?=@)")
"""What stands between ``://`` and ``@``; git's usual user and references to variables are nobody's secret."""


def looks_secret(name: str) -> bool:
    """Whether a variable's name contains one of :data:`SECRET_WORDS`, in any case."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)


def redact(text: str, environ: Mapping[str, str]) -> str:
    """``text`` without the values of variables whose names say that they are secret."""
    values = {value for name, value in environ.items() if len(value) >= SHORTEST and looks_secret(name)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def passwords_in(text: str) -> set[str]:
    """What logs in in the URLs of a text: passwords, and tokens that stand without one."""
    return {login.partition(":")[2] or login for login in _LOGIN.findall(text)}


def without_logins(text: str) -> str:
    """``text`` with URLs that log nobody in."""
    return _LOGIN.sub(MASK, text)
