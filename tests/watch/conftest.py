"""A loopback API server, and a namespace with jobs that wait for the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from followers import IMAGE, Place
from kube import Image, KubeServer


@pytest.fixture
def server() -> Iterator[KubeServer]:
    with KubeServer(bookmark_every=0.3) as started:
        started.images[IMAGE] = Image(idle=True)
        yield started


@pytest.fixture
def place(server: KubeServer) -> Place:
    return Place(server)
