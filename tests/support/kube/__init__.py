"""A strict Kubernetes API server on loopback whose pods are processes of this machine.

Why not a fake of the client: what breaks in practice are the server's rules (stale versions, expired watches, orphaned
pods, a Job that fails twice), and only a server can be driven by the real clients. See ``kube.server.KubeServer``.
"""

from __future__ import annotations

from kube.images import Image
from kube.rbac import Rule
from kube.server import KubeServer

__all__ = ["Image", "KubeServer", "Rule"]
