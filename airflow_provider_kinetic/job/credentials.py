"""The identity of this process: ours to read where a job has one, else Google's library's where that is installed.

A pod has a key, a federation or a metadata server: ``tokens`` speaks for those with the standard library alone. What
people have on their own machines is of more kinds, and is not written a second time here.
"""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from airflow_provider_kinetic.job import tokens

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
INSTALL = "`pip install google-auth requests`"
LOGIN = f"On your own machine: `gcloud auth application-default login`, and {INSTALL}"
UNSAID = 300.0
"""Seconds for which a token is used that does not say when it expires."""


def fetch_token(environ: Mapping[str, str]) -> tuple[str, float]:
    """An access token and its lifetime in seconds: of the file that is named, of a login, or of the machine.

    :raises OSError: there is no identity, or it was refused; the text says what to do.
    """
    path = environ.get(VARIABLE) or _login(environ)
    if path:
        return tokens.fetch_token({**environ, VARIABLE: path}) if _ours(path) else google_token(path)
    try:
        return tokens.fetch_token(environ)
    except OSError as error:
        nobody = OSError(f"{error}. {LOGIN}")
    try:
        return google_token("the machine")
    except OSError:
        raise nobody from None


def google_token(whose: str) -> tuple[str, float]:
    """Of what ``google.auth`` finds by itself, in the same order.

    :raises OSError: it is not installed, or does not get any; of the answers that its errors quote nothing is said.
    """
    try:
        library = import_module("google.auth")
        request = import_module("google.auth.transport.requests").Request()
    except ImportError:
        raise OSError(
            f"the credentials of {whose} can only be used by Google's library: {INSTALL}, or set {VARIABLE} to the "
            "file of a service account's key or of a workload identity federation"
        ) from None
    deadline = time.monotonic() + tokens.PATIENCE
    while True:
        try:
            credentials, _ = library.default(scopes=[tokens.SCOPE], request=request)
            credentials.refresh(request)
        except Exception as error:  # of code that is not ours, and of any kind
            if not _passes(error) or time.monotonic() > deadline:
                said = error.args[0] if error.args else ""
                raise OSError(f"the credentials of {whose} cannot be used: {type(error).__name__}: {said}") from None
            time.sleep(1)
        else:
            expiry = credentials.expiry
            lifetime = calendar.timegm(expiry.utctimetuple()) - time.time() if expiry else UNSAID
            return str(credentials.token), lifetime


def _passes(error: Exception) -> bool:
    return type(error).__name__ == "TransportError" or bool(getattr(error, "retryable", False))


def _login(environ: Mapping[str, str]) -> str:
    """The file that ``gcloud auth application-default login`` has left; empty where there is none."""
    home = environ.get("HOME")
    folder = environ.get("CLOUDSDK_CONFIG") or (f"{home}/.config/gcloud" if home else "")
    path = Path(folder, "application_default_credentials.json")
    return str(path) if folder and path.is_file() else ""


def _ours(path: str) -> bool:
    """Whether ``tokens`` reads it, or says what is wrong with it."""
    try:
        info = json.loads(Path(path).read_text(encoding="utf-8"))
        source = info.get("credential_source", {})
        if info["type"] == "external_account":
            return ("file" in source or "url" in source) and "environment_id" not in source
        return bool(info["type"] == "service_account")
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return True
