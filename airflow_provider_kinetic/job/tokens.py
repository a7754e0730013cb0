"""Access tokens for Cloud Storage, from wherever the job's identity comes.

Off Google's own machines there is no metadata server, and images need not have Google's libraries, so key files are
signed and federated identities exchanged here. The bootstrap of a job needs a token before it has anything else: this
text travels in its command. It therefore imports nothing of ours and stays short.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
PATIENCE = 60.0
"""Seconds; on a new pod the metadata server knows its identity only after a while (half a minute is usual)."""
PASSING = (408, 429, 500, 502, 503, 504)


def service(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Base URL of Cloud Storage, and whether it is an emulator, which wants no token. Google's client honours both."""
    emulator = environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if emulator:
        return emulator if "://" in emulator else f"http://{emulator}", True
    return (environ.get("API_ENDPOINT_OVERRIDE") or "https://storage.googleapis.com").rstrip("/"), False


def fetch_token(environ: Mapping[str, str]) -> tuple[str, float]:
    """An access token and its lifetime in seconds.

    :raises OSError: there is no identity, or it was refused; the text says what to do.
    """
    path = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    try:
        return file_token(path) if path else metadata_token(environ)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        place = path or "the metadata server"
        raise OSError(f"the credentials of {place} cannot be used: {type(error).__name__}: {error}") from error


def file_token(path: str) -> tuple[str, float]:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        info = json.load(file)
    if info["type"] == "service_account":
        return key_token(info)
    if info["type"] == "external_account":
        return federated_token(info)
    raise ValueError(f"the type {info['type']!r} is neither 'service_account' nor 'external_account'")


def metadata_token(environ: Mapping[str, str]) -> tuple[str, float]:
    """Of the pod's Kubernetes service account (Workload Identity) or of the machine."""
    host = environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    try:
        answer = json.loads(call(url, headers={"Metadata-Flavor": "Google"}, passing=range(400, 600), proxy=False))
    except OSError as error:
        raise OSError(
            f"{error}. On GKE the pod's service account needs Workload Identity; elsewhere set "
            "GOOGLE_APPLICATION_CREDENTIALS to a key or federation file that is mounted into the pod"
        ) from None
    return answer["access_token"], float(answer["expires_in"])


def key_token(info: Mapping[str, str]) -> tuple[str, float]:
    """Of a service account's key: RFC 7523."""
    now = int(time.time())
    claims = {
        "iss": info["client_email"],
        "scope": SCOPE,
        "aud": info["token_uri"],
        "iat": now,
        "exp": now + 3600,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": info.get("private_key_id")}
    signed = b".".join(url_safe(json.dumps(part).encode()) for part in (header, claims))
    assertion = signed + b"." + url_safe(sign(signed, info["private_key"]))
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion.decode()}
    answer = post(info["token_uri"], form)
    return answer["access_token"], float(answer["expires_in"])


def federated_token(info: Mapping[str, Any]) -> tuple[str, float]:
    """Of an identity elsewhere: RFC 8693, then of the service account that it may act for, if one is named."""
    impersonated = info.get("service_account_impersonation_url")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "audience": info["audience"],
        "scope": "https://www.googleapis.com/auth/cloud-platform" if impersonated else SCOPE,
        "subject_token": subject_token(info["credential_source"]),
        "subject_token_type": info["subject_token_type"],
    }
    answer = post(info["token_url"], form)
    if not impersonated:
        return answer["access_token"], float(answer["expires_in"])
    headers = {"Authorization": f"Bearer {answer['access_token']}", "Content-Type": "application/json"}
    wish = {"scope": [SCOPE], "lifetime": "3600s"}
    answer = json.loads(call(impersonated, json.dumps(wish).encode(), headers))
    return answer["accessToken"], 3600.0


def subject_token(source: Mapping[str, Any]) -> str:
    """Read anew every time: whoever issues it replaces it before it expires."""
    if "file" in source:
        with open(source["file"], encoding="utf-8") as file:  # noqa: PTH123
            text = file.read()
    elif "url" in source:
        text = call(source["url"], headers=source.get("headers", {})).decode()
    else:
        raise ValueError(f"a credential_source with {sorted(source)}; a job can use one with `file` or `url`")
    form = source.get("format", {})
    return str(json.loads(text)[form["subject_token_field_name"]]) if form.get("type") == "json" else text.strip()


def post(url: str, form: Mapping[str, str]) -> Any:
    return json.loads(call(url, urllib.parse.urlencode(form).encode()))


def call(
    url: str,
    data: bytes | None = None,
    headers: Mapping[str, str] = {},
    passing: Any = PASSING,
    proxy: bool = True,
) -> bytes:
    """One HTTP answer, asked for again while the server is away or answers with a ``passing`` status.

    :raises OSError: it did not become better within PATIENCE, or was refused.
    """
    opener = urllib.request.build_opener(*([] if proxy else [urllib.request.ProxyHandler({})]))
    deadline, pause = time.monotonic() + PATIENCE, 0.25
    while True:
        try:
            with opener.open(urllib.request.Request(url, data, dict(headers)), timeout=20) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                failure = f"{url} answered {error.code}: {error.read(500).decode('utf-8', 'replace')}"
            again = error.code in passing
        except (OSError, http.client.HTTPException) as error:
            failure, again = f"{url} did not answer: {error}", True
        if not again or time.monotonic() > deadline:
            raise OSError(failure)
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, 5.0)


def sign(message: bytes, pem: str) -> bytes:
    """RS256 (RFC 8017, 8.2.1) with an RSA key in PKCS #8 or PKCS #1."""
    der = base64.b64decode("".join(line for line in pem.split("\n") if "-----" not in line))
    modulus, _, exponent = [number for number in integers(der) if number][:3]
    size = (modulus.bit_length() + 7) // 8
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(size, "big")


def integers(der: bytes) -> list[int]:
    """All INTEGERs in order; of a key: versions (0), modulus, public exponent, private exponent, …"""
    found, at = [], 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length > 127:
            more = length - 128
            length = int.from_bytes(der[at : at + more], "big")
            at += more
        body = der[at : at + length]
        at += length
        if tag in (0x30, 0x04):  # SEQUENCE, and the OCTET STRING in which PKCS #8 wraps the key
            found += integers(body)
        elif tag == 0x02:
            found.append(int.from_bytes(body, "big"))
    return found


def url_safe(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
