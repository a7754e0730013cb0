"""Where tokens come from, on the loopback: metadata server, OAuth endpoint, security token service, impersonation."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

REFRESH = "refresh-secret"
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


class IdentityServer:
    """``with IdentityServer() as identity``. Every token that it issues is in ``issued``."""

    def __init__(self) -> None:
        self.key = _key()
        self.issued: list[str] = []
        self.requests: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        """By path: how many more requests are answered with 503."""
        self.lifetime = 3600
        self.claims: dict[str, Any] = {}
        """Of the last assertion that was accepted."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, self))
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> IdentityServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def service_account(self, form: str = "PKCS8") -> dict[str, str]:
        """A key file."""
        encoding = getattr(serialization.PrivateFormat, form)
        pem = self.key.private_bytes(serialization.Encoding.PEM, encoding, serialization.NoEncryption())
        return {
            "type": "service_account",
            "client_email": "job@tests.iam.gserviceaccount.com",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "token_uri": f"{self.url}/token",
        }

    def external_account(self, source: dict[str, Any], *, impersonate: bool = False) -> dict[str, Any]:
        """A federation file."""
        content: dict[str, Any] = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/pool",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/sts",
            "credential_source": source,
        }
        if impersonate:
            content["service_account_impersonation_url"] = f"{self.url}/impersonate"
        return content

    def authorized_user(self, refresh_token: str = REFRESH) -> dict[str, str]:
        """What a login has left."""
        return {
            "type": "authorized_user",
            "client_id": "tests",
            "client_secret": "client-secret",
            "refresh_token": refresh_token,
            "quota_project_id": "tests",
        }

    def issue(self) -> str:
        self.issued.append(f"token-{len(self.issued)}")
        return self.issued[-1]

    def accepts(self, assertion: str) -> bool:
        """Whether a JWT was signed with the key."""
        signed, _, signature = assertion.rpartition(".")
        self.key.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.claims = json.loads(_decoded(signed.partition(".")[2]))
        return bool(self.claims["aud"] == f"{self.url}/token")


@cache
def _key() -> rsa.RSAPrivateKey:
    """One for the process: making it takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, identity: IdentityServer, *args: Any) -> None:
        self.identity = identity
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self._fails():
            return
        if self.path == METADATA and self.headers["Metadata-Flavor"] == "Google":
            self._issue()
        elif self.path == "/subject" and self.headers["X-Proof"] == "yes":
            self._send({"value": "subject"})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._fails():
            return
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        known = {
            "/token": lambda form: (
                form["refresh_token"] == REFRESH
                if form["grant_type"] == "refresh_token"
                else self.identity.accepts(form["assertion"])
            ),
            "/sts": lambda form: form["subject_token"] == "subject",
        }
        if self.path in known and known[self.path](form):
            self._issue()
        elif self.path == "/impersonate" and self.headers["Authorization"].endswith(self.identity.issued[-1]):
            self._send({"accessToken": self.identity.issue(), "expireTime": "2100-01-01T00:00:00Z"})
        else:
            self._send({"error": "invalid_grant", "error_description": "Not a subject of this pool."}, 400)

    def _fails(self) -> bool:
        self.identity.requests[self.path] += 1
        failing = self.identity.failing[self.path] > 0
        if failing:
            self.identity.failing[self.path] -= 1
            self._send({}, 503)
        return failing

    def _issue(self) -> None:
        self._send({"access_token": self.identity.issue(), "expires_in": self.identity.lifetime})

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
