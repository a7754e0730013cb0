"""Logins of people, which Google's library reads where it is installed; what a job has needs none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import google.auth
import pytest
from google.auth.exceptions import TransportError
from google.oauth2 import credentials as logins
from identity_server import REFRESH, IdentityServer

from airflow_provider_kinetic.job import credentials, tokens
from airflow_provider_kinetic.job.gcs_http import GcsError, Token

ROOT = Path(__file__).parent.parent.parent
SECRETS = (REFRESH, "client-secret", "revoked-secret")

Environ = dict[str, str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, identity: IdentityServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody who has never logged in. Google's library knows one place only that refreshes logins."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
    monkeypatch.setenv("PATH", str(tmp_path))  # no gcloud
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GCE_METADATA_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(logins, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{identity.url}/token")
    return tmp_path


@pytest.fixture
def named(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def name(content: Any) -> None:
        (home / "some.json").write_text(json.dumps(content))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "some.json"))

    return name


@pytest.fixture
def logged_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def login(content: Any, folder: str = "") -> None:
        place = home / (folder or ".config/gcloud")
        place.mkdir(parents=True)
        (place / "application_default_credentials.json").write_text(json.dumps(content))
        if folder:
            monkeypatch.setenv("CLOUDSDK_CONFIG", str(place))

    return login


def federated(identity: IdentityServer) -> dict[str, str]:
    """A login through somebody else's directory."""
    kind = {"type": "external_account_authorized_user", "token_url": f"{identity.url}/token", "audience": "pool"}
    return {**identity.authorized_user(), **kind}


def test_a_login_in_the_file_that_is_named(identity: IdentityServer, named: Callable[[Any], None]) -> None:
    for content in (identity.authorized_user(), federated(identity)):
        named(content)
        text, lifetime = credentials.fetch_token(os.environ)
        assert text == identity.issued[-1]
        assert 3500 < lifetime <= 3600


@pytest.mark.parametrize("folder", ["", "elsewhere"])
def test_a_login_of_gcloud_is_found(identity: IdentityServer, logged_in: Callable[..., None], folder: str) -> None:
    logged_in(identity.authorized_user(), folder)
    token = Token(os.environ)
    assert {token.get() for _ in range(3)} == {"token-0"}
    token.forget("token-0")
    assert token.get() == "token-1"


def test_a_login_is_refreshed_before_it_expires(identity: IdentityServer, logged_in: Callable[..., None]) -> None:
    identity.lifetime = 1
    logged_in(identity.authorized_user())
    token = Token(os.environ)
    assert token.get() == "token-0"
    time.sleep(0.8)
    assert token.get() == "token-1"


def test_a_file_that_is_named_goes_before_a_login(
    identity: IdentityServer, named: Callable[[Any], None], logged_in: Callable[..., None]
) -> None:
    logged_in(identity.authorized_user("revoked-secret"))
    named(identity.service_account())
    assert credentials.fetch_token(os.environ)[0] == "token-0"
    assert identity.claims["iss"] == "job@tests.iam.gserviceaccount.com"


def test_a_login_that_was_revoked_is_told_at_once_and_without_secrets(
    identity: IdentityServer, logged_in: Callable[..., None]
) -> None:
    logged_in(identity.authorized_user("revoked-secret"))
    started = time.monotonic()
    with pytest.raises(GcsError, match=r"default_credentials\.json cannot be used: RefreshError: invalid") as told:
        Token(os.environ).get()
    assert time.monotonic() - started < 5
    error: BaseException | None = told.value
    while error is not None:
        assert not any(secret in f"{error} {error.args}" for secret in SECRETS)
        error = error.__cause__


def test_a_network_that_is_away_for_a_moment_costs_nothing(
    identity: IdentityServer, logged_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged_in(identity.authorized_user())
    found, pauses = google.auth.default, []

    def away(**options: Any) -> Any:
        if len(pauses) < 2:
            raise TransportError("no route to host")
        return found(**options)

    monkeypatch.setattr(google.auth, "default", away)
    monkeypatch.setattr(credentials.time, "sleep", pauses.append)
    assert credentials.fetch_token(os.environ)[0] == "token-0"
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "source",
    [
        {"environment_id": "aws1", "url": "http://169.254.169.254/", "regional_cred_verification_url": "https://sts"},
        {"executable": {"command": "/bin/true"}},
        {"certificate": {"use_default_certificate_config": True}},
    ],
)
def test_federations_that_jobs_do_not_have_are_left_to_the_library(
    identity: IdentityServer, named: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, source: dict[str, Any]
) -> None:
    named(identity.external_account(source))
    asked: list[Any] = []
    monkeypatch.setattr(google.auth, "default", lambda **options: asked.append(options) or 1 / 0)
    with pytest.raises(OSError, match=r"some.json cannot be used: ZeroDivisionError"):
        credentials.fetch_token(os.environ)
    assert asked[0]["scopes"] == [tokens.SCOPE]


@pytest.mark.parametrize("content", [{}, [], {"type": "service_account"}, {"type": "external_account"}])
def test_a_file_that_is_broken_is_named(named: Callable[[Any], None], content: Any) -> None:
    named(content)
    with pytest.raises(OSError, match=r"some\.json cannot be used"):
        credentials.fetch_token(os.environ)


def test_nobody_at_all_is_told_how_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.1)
    monkeypatch.setattr(google.auth, "default", lambda **_: 1 / 0)
    with pytest.raises(OSError, match=r"Workload Identity.*`gcloud auth application-default login`.*google-auth"):
        credentials.fetch_token({"GCE_METADATA_HOST": "127.0.0.1:1"})


def test_a_machine_that_only_the_library_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.1)
    library = ModuleType("google.auth")
    library.default = lambda **_: (logins.Credentials("known"), None)  # type: ignore[attr-defined]
    monkeypatch.setattr(logins.Credentials, "refresh", lambda *_: None)
    monkeypatch.setitem(sys.modules, "google.auth", library)
    found = credentials.fetch_token({"GCE_METADATA_HOST": "127.0.0.1:1"})
    assert found == ("known", credentials.UNSAID)


FETCHED = (
    "import os, sys\nfrom airflow_provider_kinetic.job.credentials import fetch_token\n"
    "try: print(fetch_token(os.environ)[0])\nexcept OSError as error: print(error)\n"
    "print('google.auth' in sys.modules)"
)


def fetched(*flags: str) -> str:
    command = [sys.executable, *flags, "-c", FETCHED]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


def test_without_the_library_a_login_says_what_to_install(
    identity: IdentityServer, logged_in: Callable[..., None]
) -> None:
    logged_in(identity.authorized_user())
    said = fetched("-S")
    assert "application_default_credentials.json can only be used by Google's library: `pip install google-auth" in said
    assert not any(secret in said for secret in SECRETS)


def test_what_a_job_has_loads_no_library(identity: IdentityServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", identity.host)
    assert fetched() == "token-0\nFalse\n"
