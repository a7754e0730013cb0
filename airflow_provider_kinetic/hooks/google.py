"""Who we are to Google: credentials of a connection, read once in a process.

Making credentials out of a key costs 30 ms and every user of them fetches tokens, so one object serves
everybody who has the same credentials in this process; two connections with different ones never share.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_kinetic.clusters.access import Token, TokenSource
from airflow_provider_kinetic.model.errors import ClusterError, ConnectionError_

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from google.auth.credentials import Credentials

TIMEOUT = 30.0
"""Seconds for one request for a token."""
_AMBIENT = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME", "GCE_METADATA_HOST")
"""Variables that decide which application default credentials are found."""
_FILES = ("key_path", "credential_config_file")
"""Fields of the connection that name a file. One that was replaced is read again."""


@dataclass(frozen=True)
class Principal:
    """One identity in this process."""

    name: str
    """An e-mail address where there is one, and a digest of what else tells it from others; no secret."""
    project: str
    """Of the connection, else of the credentials; may be empty."""
    credentials: Credentials = field(compare=False, repr=False)
    tokens: TokenSource = field(compare=False, repr=False)


_known: dict[tuple[int, str], Principal] = {}
_knowing = threading.Lock()


class GoogleIdentityHook(GoogleBaseHook):
    """The credentials of a connection of type ``google_cloud_platform``, with everything that it can say.

    A key file or its content, a secret, a federation file, an impersonation chain; without any: the application
    default credentials. These are also meant where the default connection does not exist.
    """

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        from airflow.sdk import Connection

        try:
            return super().get_connection(conn_id)
        except AirflowNotFoundException:
            if conn_id == cls.default_conn_name:
                return Connection(conn_id=conn_id, conn_type=cls.conn_type)
            raise ConnectionError_(
                f"There is no connection `{conn_id}`, which `gcp_conn_id` names.",
                advice=f"Make it: `airflow connections add {conn_id} --conn-type {cls.conn_type} --conn-extra"
                ' \'{"key_path": "…"}\'`, or correct `gcp_conn_id` in the Kinetic connection.',
            ) from None

    @cached_property
    def principal(self) -> Principal:
        """The identity; no network.

        :raises ConnectionError_: the connection holds no usable credentials.
        """
        key = (os.getpid(), self._fingerprint())
        with _knowing:
            if key not in _known:
                _known[key] = self._load(key[1])
            return _known[key]

    def _load(self, fingerprint: str) -> Principal:
        with usable(self.gcp_conn_id):
            credentials, project = self.get_credentials_and_project_id()
        name = f"{_email(credentials)} ({fingerprint[:12]})"
        conn_id = self.gcp_conn_id  # not the hook, which would live as long as the process
        return Principal(name, project or "", credentials, TokenSource(lambda: fresh(credentials, conn_id)))

    def _fingerprint(self) -> str:
        """A digest of everything that decides about the identity."""
        described = {name: value for name, value in self.extras.items() if value not in (None, "", False)}
        told: dict[str, Any] = {"extras": described, "chain": self.impersonation_chain, "quota": self.quota_project_id}
        told["ambient"] = {name: os.environ.get(name) for name in _AMBIENT}
        paths = [*(described.get(name) for name in _FILES), os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")]
        told["files"] = [_changed(path) for path in paths]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _changed(path: object) -> int | None:
    """When a file was written; None where there is none. A configuration may also stand in the field itself."""
    try:
        return Path(path).stat().st_mtime_ns if isinstance(path, str) and path else None
    except OSError:
        return None


def _email(credentials: Credentials) -> str:
    for attribute in ("service_account_email", "signer_email", "account"):
        value = getattr(credentials, attribute, None)
        if isinstance(value, str) and value:
            return value
    return "application default credentials"


def fresh(credentials: Credentials, conn_id: str) -> Token:
    """A new access token; blocks.

    :raises ClusterError: Google gives none.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials.refresh(partial(Request(), timeout=TIMEOUT))  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise ClusterError(f"Google gives no access token: {_line(error)}", advice=_advice(conn_id)) from error
    expiry = credentials.expiry
    return Token(str(credentials.token), expiry.replace(tzinfo=UTC).timestamp() if expiry else float("inf"))


@contextmanager
def usable(conn_id: str) -> Iterator[None]:
    """What the loading of credentials raises, as an error that says what to do.

    :raises ConnectionError_: the connection holds no usable credentials.
    """
    from airflow.sdk.exceptions import AirflowException
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAuthError, AirflowException, OSError, ValueError, KeyError) as error:
        raise ConnectionError_(
            f"The credentials of the connection `{conn_id}` cannot be used: {_line(error)}", advice=_advice(conn_id)
        ) from error


def _advice(conn_id: str) -> str:
    return (
        f"Check the key or the impersonation chain of the connection `{conn_id}` (`gcp_conn_id`); where it holds"
        " neither: the application default credentials of this machine. To impersonate, the caller needs Service"
        " Account Token Creator (roles/iam.serviceAccountTokenCreator) on the account."
    )


def _line(error: object) -> str:
    """The first line, at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
