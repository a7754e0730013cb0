"""Every place that a job's identity may come from; signatures are checked by a library that is not ours."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gcs_server import GcsServer
from identity_server import METADATA, IdentityServer

from airflow_provider_kinetic.job import tokens
from airflow_provider_kinetic.job.gcs import GcsStorage
from airflow_provider_kinetic.job.gcs_http import GcsError, Session, Token

Environ = dict[str, str]


def credentials(path: Path, content: dict[str, Any]) -> Environ:
    path.write_text(json.dumps(content))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_service_account_key(identity: IdentityServer, tmp_path: Path, form: str) -> None:
    found = tokens.fetch_token(credentials(tmp_path / "key.json", identity.service_account(form)))
    assert found == (identity.issued[-1], 3600)
    assert identity.claims["iss"] == "job@tests.iam.gserviceaccount.com"
    assert identity.claims["scope"] == tokens.SCOPE
    assert identity.claims["exp"] - identity.claims["iat"] == 3600


def test_a_federated_identity_in_a_file(identity: IdentityServer, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("subject\n")
    content = identity.external_account({"file": str(tmp_path / "subject")})
    assert tokens.fetch_token(credentials(tmp_path / "f.json", content))[0] == identity.issued[-1]


@pytest.mark.parametrize("failing", [0, 2])
def test_a_federated_identity_behind_a_url_that_acts_for_a_service_account(
    identity: IdentityServer, tmp_path: Path, failing: int
) -> None:
    form = {"type": "json", "subject_token_field_name": "value"}
    source = {"url": f"{identity.url}/subject", "headers": {"X-Proof": "yes"}, "format": form}
    for path in ("/subject", "/sts", "/impersonate"):
        identity.failing[path] = failing
    found = tokens.fetch_token(credentials(tmp_path / "f.json", identity.external_account(source, impersonate=True)))
    assert found[0] == identity.issued[-1]
    assert len(identity.issued) == 2


def test_a_metadata_server_that_answers_late(identity: IdentityServer) -> None:
    identity.failing[METADATA] = 3
    assert tokens.fetch_token({"GCE_METADATA_HOST": identity.host}) == (identity.issued[-1], 3600)


def test_a_new_pod_has_half_a_minute_to_get_its_identity() -> None:
    assert tokens.PATIENCE >= 30


def test_no_identity_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.3)
    with pytest.raises(OSError, match=r"Workload Identity.*GOOGLE_APPLICATION_CREDENTIALS"):
        tokens.fetch_token({"GCE_METADATA_HOST": "127.0.0.1:1"})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "authorized_user"}, "authorized_user"),
        ({"type": "service_account"}, "client_email"),
        ({}, "type"),
        ({"type": "external_account", "audience": "a", "credential_source": {"environment_id": "aws1"}}, "`file` or"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: dict[str, Any], text: str) -> None:
    with pytest.raises(OSError, match=text) as caught:
        tokens.fetch_token(credentials(tmp_path / "some.json", content))
    assert "some.json" in str(caught.value)


def test_a_refused_identity_is_told_at_once(identity: IdentityServer, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("somebody else")
    content = identity.external_account({"file": str(tmp_path / "subject")})
    started = time.monotonic()
    with pytest.raises(OSError, match="Not a subject of this pool"):
        tokens.fetch_token(credentials(tmp_path / "f.json", content))
    assert time.monotonic() - started < 5
    assert identity.requests["/sts"] == 1


def test_a_token_is_kept_until_shortly_before_it_expires(identity: IdentityServer) -> None:
    token = Token({"GCE_METADATA_HOST": identity.host})
    assert {token.get() for _ in range(3)} == {"token-0"}
    token.forget("token-0")
    identity.lifetime = 1
    assert token.get() == "token-1"
    token.forget("token-0")  # somebody is late: there is a new one already
    assert token.get() == "token-1"
    time.sleep(0.8)
    assert token.get() == "token-2"


@pytest.fixture
def guarded(gcs: GcsServer, identity: IdentityServer) -> GcsServer:
    """Cloud Storage that lets in only who has a token, as the real one."""
    gcs.tokens = identity.issued
    return gcs


@pytest.fixture
def session(guarded: GcsServer, identity: IdentityServer) -> Iterator[Session]:
    made = Session({"GCE_METADATA_HOST": identity.host, "API_ENDPOINT_OVERRIDE": guarded.url}, patience=5)
    yield made
    made.close()


def test_requests_carry_the_token(guarded: GcsServer, identity: IdentityServer, session: Session, uri: str) -> None:
    GcsStorage(session).write(uri, b"1")
    assert GcsStorage(session).read(uri) == b"1"
    assert identity.issued == ["token-0"]
    guarded.tokens = ["token-1"]
    assert GcsStorage(session).read(uri) == b"1"
    assert identity.issued == ["token-0", "token-1"]


def test_a_large_upload_survives_a_token_that_expires(
    guarded: GcsServer, session: Session, uri: str, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(b"x" * (9 << 20))
    guarded.fail("chunk", status=401)
    GcsStorage(session).upload(tmp_path / "large", uri)
    assert guarded.buckets["tests"].names() == ["job-1/a"]


def test_a_token_that_is_always_refused_is_an_error(
    guarded: GcsServer, identity: IdentityServer, session: Session, uri: str
) -> None:
    guarded.tokens = ()
    with pytest.raises(GcsError, match="401"):
        GcsStorage(session).read(uri)
    assert len(identity.issued) == 2


def test_without_an_identity_there_is_no_waiting_for_storage(
    guarded: GcsServer, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.2)
    with pytest.raises(GcsError, match="No access token"):
        GcsStorage(Session({"GCE_METADATA_HOST": "127.0.0.1:1", "API_ENDPOINT_OVERRIDE": guarded.url})).read(uri)
    assert not guarded.requests
