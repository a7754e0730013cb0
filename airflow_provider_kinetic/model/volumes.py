"""``volumes={"/data": Data(…)}``: data at a path that the function knows, instead of one that it is handed.

The job sees each as a folder; a single file lies in it under its own name (contract 11.4).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from itertools import combinations

from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError

_OURS = "/_kinetic"
_SYSTEMS = ("/dev", "/proc", "/sys")
_CHOOSE = "Choose a folder of your own in the job, like '/data'."
_EXAMPLE = 'Write them as {"/data": Data("gs://bucket/folder/")}.'


def check_volumes(volumes: object) -> None:
    """What can be said of ``volumes`` without a look at the data. Templates may still stand in it.

    :raises ConfigurationError: not a dict of absolute paths and ``Data``; two at one path, or one inside of another; a
        path that belongs to the system, or to Kinetic itself.
    """
    if not isinstance(volumes, Mapping):
        raise ConfigurationError(f"`volumes` is {volumes!r:.100}; it must be a dict.", advice=_EXAMPLE)
    for path, data in volumes.items():
        _check_path(path)
        if not isinstance(data, Data):
            raise ConfigurationError(
                f"`volumes`: {data!r:.100} at {path!r} is no Data.",
                advice=f"Write Data({data!r}), which says that it is to be there as files."
                if isinstance(data, str)
                else _EXAMPLE,
            )
    _check_apart(list(volumes))


def normal(path: str) -> str:
    """The one way to write a path: without a final slash, doubled ones and ``..``."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _check_path(path: object) -> None:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"`volumes`: {path!r} is no absolute path.", advice=_CHOOSE)
    if "{{" in path or "{%" in path:
        raise ConfigurationError(
            f"`volumes`: {path!r} is a template, and Airflow renders no keys.",
            advice="Write the path as it is; what lies there may be a template: Data('gs://acme/{{ ds }}/').",
        )
    if any(letter in path for letter in ":\0\r\n"):
        raise ConfigurationError(
            f"`volumes`: {path!r} has a colon, a NUL or a line end, which no mount may.", advice=_CHOOSE
        )
    if normal(path) == "/" or _inside(path, (_OURS, *_SYSTEMS)):
        owner = "Kinetic" if _inside(path, (_OURS,)) else "the system"
        raise ConfigurationError(f"`volumes`: {path!r} belongs to {owner}.", advice=_CHOOSE)


def _check_apart(paths: list[str]) -> None:
    for one, other in combinations(paths, 2):
        if normal(one) == normal(other):
            raise ConfigurationError(
                f"`volumes` names {normal(one)!r} twice: {one!r} and {other!r}.",
                advice="Give each a path of its own.",
            )
        if _inside(one, (other,)) or _inside(other, (one,)):
            raise ConfigurationError(
                f"`volumes`: of {one!r} and {other!r} one lies in the other.",
                advice="Put them side by side, like '/data/train' and '/data/test'.",
            )


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(f"{normal(path)}/".startswith(f"{normal(folder)}/") for folder in folders)
