"""A kubeconfig file with one cluster and one bearer token."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from kube.errors import Object


def document(url: str, authority: bytes, token: str, namespace: str) -> Object:
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(authority).decode()}
    context = {"cluster": "loopback", "user": "loopback", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "loopback",
        "clusters": [{"name": "loopback", "cluster": cluster}],
        "contexts": [{"name": "loopback", "context": context}],
        "users": [{"name": "loopback", "user": {"token": token}}],
    }


def write(path: Path, content: Object) -> Path:
    """JSON is YAML too."""
    path.write_text(json.dumps(content, indent=2))
    path.chmod(0o600)
    return path
