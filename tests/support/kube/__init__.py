"""A strict Kubernetes API server on loopback whose pods are processes of this machine.

Why not a fake of the client: what breaks in practice are the server's rules (stale versions, expired watches, orphaned
pods, a Job that fails twice), and only a server can be driven by the real clients. See ``kube.server.KubeServer``.

What it does not have: containers that restart (every pod is run as ``restartPolicy: Never``), sidecars, Indexed Jobs,
success policies, controllers of custom resources, server-side apply, tables, protobuf, conversion, strict field
validation, ResourceQuota objects (a refusal on request stands for them), ports, and any isolation of its processes:
mounts are replaced in words (see ``kube.pod_environment``), memory limits act on request, and process 1 has no
special treatment of signals.
"""

from __future__ import annotations

from kube.images import Image
from kube.rbac import Rule
from kube.server import KubeServer

__all__ = ["Image", "KubeServer", "Rule"]
