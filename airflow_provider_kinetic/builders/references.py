"""Names of container images, as every container runtime reads them.

A name goes into Dockerfiles and pod specs: what is no name is found out before anything is sent.
"""

from __future__ import annotations

import re

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?=.{{1,255}}(?:[:@]|$))(?:{_HOST}/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
"""The grammar of ``distribution/reference``."""


def is_reference(name: str) -> bool:
    """Whether ``name`` may name an image; nobody is asked whether there is one."""
    return _REFERENCE.fullmatch(name) is not None
