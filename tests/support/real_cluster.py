"""The cluster of `pytest -m cluster`: the one that ``KUBECONFIG`` names, instead of the loopback servers.

Without ``-m cluster`` the same tests run on the loopback, so nobody's cluster is touched by accident.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 240.0
"""Seconds for what takes a moment on the loopback: images are pulled, nodes are added."""


@dataclass(frozen=True)
class RealCluster:
    """``image`` has Python and nothing else."""

    kubeconfig: Path
    image: str

    @classmethod
    def chosen(cls, config: pytest.Config) -> RealCluster | None:
        """None: the loopback is meant."""
        if not asked_for(config):
            return None
        return cls(Path(os.environ["KUBECONFIG"]), config.getoption("--job-image"))


def asked_for(config: pytest.Config) -> bool:
    """Whether the tests of a real cluster were asked for by ``-m``.

    :raises pytest.UsageError: and it cannot be told which cluster.
    """
    words: list[str] = re.findall(r"\bnot cluster\b|\bcluster\b", config.option.markexpr or "")
    if "cluster" not in words:
        return False
    path = os.environ.get("KUBECONFIG", "")
    if not path or not Path(path).is_file():
        found = f"{path} is no file" if path else "it is not set"
        raise pytest.UsageError(f"`-m cluster` needs a real cluster: KUBECONFIG must name its kubeconfig, but {found}.")
    return True
