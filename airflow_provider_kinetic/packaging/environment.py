"""Which of the submitter's environment variables the job sees, and which of them are secrets.

The capture rules are upstream's (``contract`` 6.4). What upstream only warns about is kept apart here: a payload lies
in a bucket that every job of the cluster may read, so a variable that looks like a secret must travel another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_kinetic.job.redaction import is_number, looks_secret

NEVER_BY_WILDCARD = frozenset(
    {
        "PATH",
        "HOME",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "SHELL",
        "TMPDIR",
        "TEMP",
        "TMP",
        "HOSTNAME",
        "USER",
        "LOGNAME",
        "SSH_AUTH_SOCK",
        "KUBERNETES_SERVICE_HOST",
        "KERAS_BACKEND",
    }
)
"""They describe the submitter's machine; only their exact name captures them."""


@dataclass(frozen=True)
class Captured:
    """Variables for the job. ``secret`` never enters the payload."""

    plain: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    """Secrets that the user calls so; of the others only the names look so."""

    @property
    def masked(self) -> dict[str, str]:
        """Secrets that no log shows. A number is none for its name alone."""
        return {name: value for name, value in self.secret.items() if name in self.named or not is_number(value)}


def split(env: Mapping[str, str]) -> Captured:
    """Plain variables and secrets, told apart by their names."""
    return Captured(
        plain={name: value for name, value in env.items() if not looks_secret(name)},
        secret={name: value for name, value in env.items() if looks_secret(name)},
    )


def capture(names: Iterable[str] | None, environ: Mapping[str, str]) -> Captured:
    """Variables of ``environ`` by exact name, or by prefix with a trailing ``*`` (contract 6.4).

    Names that are not set are ignored; a wildcard never captures :data:`NEVER_BY_WILDCARD`.
    """
    wanted = list(names or ())
    exact = {name for name in wanted if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in wanted if name.endswith("*"))
    return split(
        {
            name: value
            for name, value in environ.items()
            if name in exact or (name.startswith(prefixes) and name not in NEVER_BY_WILDCARD)
        }
    )
