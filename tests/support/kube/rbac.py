"""Bearer tokens, who they stand for, and what each may do."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kube.errors import Object, Refusal
from kube.resources import Resource


@dataclass(frozen=True)
class Rule:
    """Allows ``verbs`` on ``resources`` (``jobs``, ``pods/log``), in ``namespaces`` (none: all). ``*`` is any."""

    verbs: Sequence[str]
    resources: Sequence[str]
    namespaces: Sequence[str] = ()

    def allows(self, verb: str, resource: str, namespace: str) -> bool:
        return (
            (verb in self.verbs or "*" in self.verbs)
            and (resource in self.resources or "*" in self.resources)
            and (not self.namespaces or namespace in self.namespaces)
        )


ADMIN = (Rule(["*"], ["*"]),)


@dataclass
class Identity:
    user: str
    rules: Sequence[Rule] = ()
    expires: float = field(default=float("inf"))

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        return any(rule.allows(verb, resource, namespace) for rule in self.rules)


class Tokens:
    """No header at all is ``system:anonymous``, who may nothing; a token that is unknown or expired is 401."""

    def __init__(self) -> None:
        self._known: dict[str, Identity] = {}

    def issue(self, user: str, rules: Sequence[Rule] = ADMIN, *, lasts: float = float("inf")) -> str:
        token = secrets.token_urlsafe(24)
        self._known[token] = Identity(user, rules, time.monotonic() + lasts)
        return token

    def revoke(self, token: str) -> None:
        self._known.pop(token, None)

    def who(self, authorization: str | None) -> Identity:
        if not authorization:
            return Identity("system:anonymous")
        kind, _, token = authorization.partition(" ")
        identity = self._known.get(token) if kind.lower() == "bearer" else None
        if identity is None or identity.expires < time.monotonic():
            raise Refusal(401, "Unauthorized")
        return identity


def check(identity: Identity, verb: str, resource: Resource, subresource: str, namespace: str, name: str) -> None:
    """403 that names the missing permission."""
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    if identity.may(verb, plural, namespace):
        return
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    message = f'{subject} is forbidden: User "{identity.user}" cannot {verb} resource "{plural}"'
    details = (
        {"kind": resource.plural}
        | ({"name": name} if name else {})
        | ({"group": resource.group} if resource.group else {})
    )
    raise Refusal(403, f'{message} in API group "{resource.group}"{where}', details=details)


def review(identity: Identity, body: Object) -> Object:
    """Answers a SelfSubjectAccessReview."""
    asked = body.get("spec", {}).get("resourceAttributes") or {}
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource += "/" + asked["subresource"]
    allowed = identity.may(asked.get("verb", ""), resource, asked.get("namespace", ""))
    return body | {"metadata": {}, "status": {"allowed": allowed}}
