"""Cloud Storage and the places that tokens come from, for the job's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gcs_server import GcsServer
from identity_server import IdentityServer

from airflow_provider_kinetic.job.gcs import GcsStorage
from airflow_provider_kinetic.job.gcs_http import Session

BUCKET = "tests"


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer(BUCKET) as server:
        yield server
        assert server.unknown == []


@pytest.fixture
def session(gcs: GcsServer) -> Iterator[Session]:
    made = Session({"STORAGE_EMULATOR_HOST": gcs.url}, patience=10)
    yield made
    made.close()


@pytest.fixture
def storage(session: Session) -> GcsStorage:
    return GcsStorage(session)


@pytest.fixture
def uri() -> str:
    """Of an object that is not there."""
    return f"gs://{BUCKET}/job-1/a"


@pytest.fixture
def identity() -> Iterator[IdentityServer]:
    with IdentityServer() as server:
        yield server
