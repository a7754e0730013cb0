"""Google as a GKE user meets it, on the loopback: tokens, the description of a cluster, impersonation.

with GoogleApis(kube) as google:
    google.enter(monkeypatch, tmp_path)
    extra = google.connection("submit@acme.iam.gserviceaccount.com")

Every token that it issues is one of the API server ``kube``, in the name of the account that asked, with the rights in
``rules`` (none: all). ``roles`` says who may look at clusters. The client libraries reach it by the address in the key
file (tokens), by gcloud's variable for another address of the service (clusters), and as the
proxy of an address that is fixed in the library (impersonation).
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from identity_server import IdentityServer
from kube import KubeServer
from kube.certificates import server_context
from kube.rbac import ADMIN, Rule

if TYPE_CHECKING:
    import pytest

PROJECT, ZONE, CLUSTER = "acme", "europe-west4-a", "trainer"
PATH = f"/v1/projects/{PROJECT}/locations/{ZONE}/clusters/{CLUSTER}"
AUDIENCE = "https://oauth2.googleapis.com/token"
IAM = "iamcredentials.googleapis.com"


class GoogleApis(IdentityServer):
    """One cluster, ``kube``, with a public endpoint that is the server's own address."""

    def __init__(self, kube: KubeServer) -> None:
        super().__init__()
        self.kube = kube
        self.rules: dict[str, Sequence[Rule]] = {}
        self.viewers: set[str] | None = None
        """Accounts that may look at clusters; None: all."""
        self.lasts = 3600.0
        """Seconds for which the API server takes a token; Google says ``lifetime``."""
        self.owners: dict[str, str] = {}
        self.lookups: Counter[str] = Counter()
        """By account."""
        self.impersonations: list[tuple[str, str]] = []
        """Who became whom."""
        authority = base64.b64encode(kube.authority).decode()
        host = kube.url.removeprefix("https://")
        self.description: dict[str, Any] = {
            "name": CLUSTER,
            "status": "RUNNING",
            "endpoint": host,
            "masterAuth": {"clusterCaCertificate": authority},
        }
        self._service = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Service, self))
        self.folder: Path
        self.tunnel: ssl.SSLContext
        self.service = f"127.0.0.1:{self._service.server_address[1]}"

    def __enter__(self) -> GoogleApis:
        super().__enter__()
        threading.Thread(target=self._service.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.shutdown()
        self._service.server_close()
        super().__exit__()

    def accepts(self, assertion: str) -> bool:
        """Google's library names Google's own endpoint as the audience, whatever the address in the key file."""
        return super().accepts(assertion) or bool(self.claims["aud"] == AUDIENCE)

    def issue(self) -> str:
        return self.issue_to(self.claims["iss"])

    def issue_to(self, account: str) -> str:
        token = self.kube.token(account, self.rules.get(account, ADMIN), lasts=self.lasts)
        self.owners[token] = account
        self.issued.append(token)
        return token

    def key_of(self, account: str) -> dict[str, str]:
        """The content of a key file."""
        return {**self.service_account(), "client_email": account, "project_id": PROJECT}

    def connection(self, account: str, **extra: Any) -> dict[str, Any]:
        """The extra of a connection of type ``google_cloud_platform`` that names a key file of ``account``.

        Not the key itself: Airflow masks every secret that it has seen, which takes longer with each.
        """
        path = self.folder / f"{account}.json"
        path.write_text(json.dumps(self.key_of(account)))
        return {"key_path": str(path), "project": PROJECT, **extra}

    def enter(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Have Google's libraries in this process come here."""
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", f"http://{self.service}/")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{self.service}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        self.folder = folder
        self.tunnel, authority = server_context(folder, IAM)
        (folder / "google.pem").write_bytes(authority)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "google.pem"))


class _Service(BaseHTTPRequestHandler):
    """The Kubernetes Engine API in clear text; what is tunnelled through it is the IAM Credentials API."""

    protocol_version = "HTTP/1.1"

    def __init__(self, google: GoogleApis, *args: Any) -> None:
        self.google = google
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        account = self._account()
        if account is None:
            self._refuse(401, "Request had invalid authentication credentials.")
            return
        self.google.lookups[account] += 1
        if self.google.viewers is not None and account not in self.google.viewers:
            self._refuse(403, 'Required "container.clusters.get" permission(s).')
        elif unquote(self.path) != PATH:
            self._refuse(404, f"Not found: {self.path.removeprefix('/v1/')}.")
        else:
            self._send(200, self.google.description)

    def do_CONNECT(self) -> None:
        assert self.path == f"{IAM}:443", self.path
        self.send_response(200)
        self.end_headers()
        self.connection = self.google.tunnel.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        source = self._account()
        target = unquote(self.path).partition("/serviceAccounts/")[2].partition(":")[0]
        if source is None:
            self._refuse(401, "Request had invalid authentication credentials.")
            return
        self.google.impersonations.append((source, target))
        token = self.google.issue_to(target)
        self._send(200, {"accessToken": token, "expireTime": "2100-01-01T00:00:00Z"})

    def _account(self) -> str | None:
        return self.google.owners.get((self.headers["Authorization"] or "").removeprefix("Bearer "))

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"error": {"code": status, "message": message}})

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
