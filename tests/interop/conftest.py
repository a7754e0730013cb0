"""One cluster, one object store and upstream's client beside it, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloud import Cloud
from identity_server import IdentityServer
from upstream import Upstream

FUNCTIONS = """
import sys
import time
from pathlib import Path


def add(a, b):
    print("adding", a, "and", b)
    print("done", file=sys.stderr)
    return {"sum": a + b, "pair": (a, b)}


def fail(text):
    print("about to fail")
    raise ValueError(text)


def odd():
    return sys._getframe()


def leave(code):
    sys.exit(code)


def wait(gate):
    for number in range(8):
        print("line", number, flush=True)
    while not Path(gate).exists():
        time.sleep(0.02)
    print("went on", flush=True)
    return "through the gate"
"""
"""What users run, the same for both clients."""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud.opened(tmp_path_factory.mktemp("cloud"), service_accounts=["kinetic"]) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def upstream(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with (
        IdentityServer() as identity,
        Upstream.opened(cloud, identity, tmp_path_factory.mktemp("upstream"), FUNCTIONS) as upstream,
    ):
        yield upstream
