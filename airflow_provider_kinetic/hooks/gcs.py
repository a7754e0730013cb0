"""Cloud Storage through a Google connection: usable by itself, and the store of every job on a cluster.

One client for each identity and process. Google's client may be used by many threads as long as nobody changes it;
what has to be larger than its default is the pool of connections, for the threads of a triggerer share it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from airflow_provider_kinetic.stores.gcs import PATIENCE, GcsStore
from airflow_provider_kinetic.stores.gcs_errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.storage import Client
    from requests import Session

    from airflow_provider_kinetic.hooks.google import GoogleIdentityHook

DEFAULT_CONN_ID = "google_cloud_default"
EMULATOR = "STORAGE_EMULATOR_HOST"
CONNECTIONS = 32
"""Connections that a client keeps open, as many as threads of one process usually ask at a time."""

LOOK = 15.0
"""Seconds for a look at the buckets of a project."""

_clients: dict[tuple[int, str, str], Client] = {}
_making = threading.Lock()


class KineticGCSHook:
    """A store of ``gs://`` objects.

    :param gcp_conn_id: connection of type ``google_cloud_platform``; not read where ``STORAGE_EMULATOR_HOST`` is set.
    """

    def __init__(self, gcp_conn_id: str = DEFAULT_CONN_ID) -> None:
        self.gcp_conn_id = gcp_conn_id

    def store(self, *, patience: float = PATIENCE) -> GcsStore:
        """Nothing is looked up before the first object is asked for.

        :param patience: seconds for which a request that fails for a passing reason is repeated.
        """
        return GcsStore(self.client, patience=patience)

    def belongs(self, bucket: str, project: str) -> bool | None:
        """Whether the bucket is one of that project; None where this identity may not list the project's buckets.

        Names of buckets are global: one that follows a rule may have been taken by somebody else.
        """
        from google.api_core.exceptions import Forbidden, NotFound

        with explained("look for", f"gs://{bucket}"):
            try:
                found = self.client().list_buckets(project=project, prefix=bucket, timeout=LOOK, retry=None)
                return any(each.name == bucket for each in found)
            except (Forbidden, NotFound):
                return None

    def client(self) -> Client:
        """The one client of this identity and process.

        :raises ConnectionError_: the connection does not exist or holds no usable credentials.
        """
        emulator = os.environ.get(EMULATOR, "")
        if emulator:
            return _shared(("anonymous", emulator), _anonymous)
        from airflow_provider_kinetic.hooks.google import GoogleIdentityHook

        hook = GoogleIdentityHook(self.gcp_conn_id)
        return _shared((hook.principal.name, hook.principal.project), lambda: _authorized(hook))


def close() -> None:
    """Close the clients of this process. The next request makes a new one."""
    with _making:
        closed = [_clients.pop(key) for key in list(_clients) if key[0] == os.getpid()]
    for client in closed:
        client.close()


def _shared(identity: tuple[str, str], make: Callable[[], Client]) -> Client:
    key = (os.getpid(), *identity)
    with _making:
        if key not in _clients:
            _clients[key] = make()
        return _clients[key]


def _anonymous() -> Client:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client
    from requests import Session

    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return Client(project="none", credentials=nobody, _http=_roomy(Session()))


def _authorized(hook: GoogleIdentityHook) -> Client:
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    principal = hook.principal
    session = AuthorizedSession(principal.credentials)  # type: ignore[no-untyped-call]
    return Client(
        project=principal.project or "none",  # of no importance to objects
        credentials=principal.credentials,
        client_options=hook.get_client_options(),
        _http=_roomy(session),
    )


def _roomy(session: Session) -> Session:
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return session
