"""From a request to its answer: who asks, may they, which fault is due, and the verb itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kube import conditions, discovery, rbac
from kube.errors import Object, Refusal
from kube.faults import Fault, Faults
from kube.kubelet import Kubelet
from kube.listing import Listing
from kube.rbac import Identity, Tokens
from kube.registry import Registry
from kube.requests import Request, Requests
from kube.resources import ACCESS_REVIEWS, PODS, SERVICE_ACCOUNTS, Resource
from kube.route import Route, route, truth
from kube.watching import Watch

LARGEST_BODY = 3 * 1024 * 1024  # bytes, as the real server
Gone = Callable[[], bool]


class Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class Answer:
    """``body`` as bytes has a length, an iterator is sent in chunks. ``cut``: closes after half of the body."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def answer(body: Object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body, separators=(",", ":")).encode() + b"\n")


class Api:
    def __init__(
        self, registry: Registry, kubelet: Kubelet, resources: list[Resource], *, bookmark_every: float
    ) -> None:
        self.tokens = Tokens()
        self.faults = Faults()
        self.requests = Requests()
        self.listing = Listing(registry.store)
        self.watches: set[Watch] = set()
        self._registry = registry
        self._store = registry.store
        self._kubelet = kubelet
        self.resources = resources
        self._bookmark_every = bookmark_every

    def respond(self, method: str, url: str, headers: Any, body: bytes, gone: Gone) -> Answer:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        where = route(method, parts.path, query, self.resources)
        request = Request("get", parts.path, "", "", query=query)
        if where is not None:
            request = Request(where.verb, where.plural, where.namespace, where.name, query=query)
        self.requests.append(request)
        try:
            result = self._respond(where, request, parts.path, headers, body, gone)
        except Refusal as refusal:
            result = answer(refusal.status(), refusal.code)
            if refusal.details and "retryAfterSeconds" in refusal.details:
                result.headers["Retry-After"] = str(refusal.details["retryAfterSeconds"])
        request.status = result.status
        return result

    def _respond(
        self, where: Route | None, request: Request, path: str, headers: Any, body: bytes, gone: Gone
    ) -> Answer:
        fault = self.faults.take(request)
        if fault.delay:
            time.sleep(fault.delay)
        if fault.drop == "before":
            raise Dropped
        identity = self.tokens.who(headers.get("Authorization"))
        request.user = identity.user
        if fault.status:
            raise fault.refusal()
        if len(body) > LARGEST_BODY:
            raise Refusal(413, f"Request entity too large: limit is {LARGEST_BODY}")
        if where is None:
            return self._document(path)
        if where.resource != ACCESS_REVIEWS:
            rbac.check(identity, where.verb, where.resource, where.subresource, where.namespace, where.name)
        content = _parsed(body, headers)
        result = self._serve(where, request.query, content, headers, identity, fault, gone)
        if fault.drop == "after":
            raise Dropped
        result.cut = fault.drop == "during"
        return result

    def _document(self, path: str) -> Answer:
        found = discovery.document(path, self.resources)
        if found is None:
            return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
        return Answer(200, found.encode(), "text/plain") if isinstance(found, str) else answer(found)

    def _serve(
        self, at: Route, query: dict[str, str], body: Any, headers: Any, identity: Identity, fault: Fault, gone: Gone
    ) -> Answer:
        if at.subresource:
            return self._subresource(at, query, body, headers, fault, gone)
        if at.verb == "list":
            return answer(self.listing.page(at, query))
        if at.verb == "watch":
            return self._watch(at, query, fault, gone)
        if at.verb == "get":
            return answer(self._store.get(at.resource, at.namespace, at.name))
        return self._change(at, query, body, headers, identity)

    def _change(self, at: Route, query: dict[str, str], body: Any, headers: Any, identity: Identity) -> Answer:
        if at.verb == "create":
            return self._create(at, query, body, identity)
        if at.verb == "update":
            return answer(self._registry.update(at.resource, at.namespace, at.name, body))
        if at.verb == "patch":
            kind = _media_type(headers)
            return answer(self._registry.patch(at.resource, at.namespace, at.name, kind, body))
        if at.verb == "delete":
            return self._delete(at, query, body)
        return self._delete_all(at, query, body)

    def _create(self, at: Route, query: dict[str, str], body: Any, identity: Identity) -> Answer:
        if at.resource == ACCESS_REVIEWS:
            return answer(rbac.review(identity, body), 201)
        if at.resource.namespaced and not at.namespace:
            raise Refusal(405, "the server does not allow this method on the requested resource")
        dry = query.get("dryRun") == "All"
        made = self._registry.create(at.resource, at.namespace, body, dry_run=dry)
        if at.resource.plural == "namespaces" and not dry:
            account = {"metadata": {"name": "default"}}
            self._registry.create(SERVICE_ACCOUNTS, made["metadata"]["name"], account)
        return answer(made, 201)

    def _delete(self, at: Route, query: dict[str, str], body: Any) -> Answer:
        found = self._store.get(at.resource, at.namespace, at.name)
        left = self._registry.delete(at.resource, at.namespace, at.name, _options(query, body))
        if left is not None:
            return answer(left)
        details = {"name": at.name, "kind": at.resource.plural, "uid": found["metadata"]["uid"]}
        details |= {"group": at.resource.group} if at.resource.group else {}
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    def _delete_all(self, at: Route, query: dict[str, str], body: Any) -> Answer:
        page = self.listing.page(at, query)
        for obj in page["items"]:
            meta = obj["metadata"]
            self._registry.delete(at.resource, meta.get("namespace", ""), meta["name"], _options(query, body))
        return answer(page)

    def _subresource(
        self, at: Route, query: dict[str, str], body: Any, headers: Any, fault: Fault, gone: Gone
    ) -> Answer:
        if at.subresource == "log" and at.resource == PODS:
            return self._log(at, query, fault, gone)
        if at.subresource == "eviction" and at.resource == PODS:
            self.evict(at.namespace, at.name, (body or {}).get("deleteOptions") or {})
            return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)
        if at.subresource != "status":
            raise Refusal(404, "the server could not find the requested resource")
        if at.verb == "get":
            return answer(self._store.get(at.resource, at.namespace, at.name))
        if at.verb == "patch":
            kind = _media_type(headers)
            return answer(self._registry.patch(at.resource, at.namespace, at.name, kind, body, "status"))
        return answer(self._registry.update(at.resource, at.namespace, at.name, body, "status"))

    def evict(
        self, namespace: str, name: str, options: Object, *, reason: str = "EvictionByEvictionAPI", message: str = ""
    ) -> None:
        """A disruption: the pod gets the condition DisruptionTarget and is deleted with its grace period."""
        self._store.get(PODS, namespace, name)
        message = message or "Eviction API: evicting"
        clock = self._store.clock
        self._store.mutate(
            PODS,
            namespace,
            name,
            lambda pod: conditions.put(pod["status"], clock, "DisruptionTarget", reason=reason, message=message),
        )
        self._registry.delete(PODS, namespace, name, options)

    def _log(self, at: Route, query: dict[str, str], fault: Fault, gone: Gone) -> Answer:
        pod = self._store.get(PODS, at.namespace, at.name)
        names = [each["name"] for each in pod["spec"]["containers"]]
        wanted = query.get("container") or names[0]
        if not query.get("container") and len(names) > 1:
            raise Refusal(
                400, f"a container name must be specified for pod {at.name}, choose one of: {names}".replace("'", "")
            )
        worker = self._kubelet.worker(pod)
        if worker is not None and worker.lost:
            node = pod["spec"]["nodeName"]
            raise Refusal(
                500,
                f'Get "https://{node}:10250/containerLogs/{at.namespace}/{at.name}/{wanted}": dial tcp: i/o timeout',
            )
        if worker is not None and wanted not in worker.logs:
            raise Refusal(400, f"container {wanted} is not valid for pod {at.name}")
        if worker is None or wanted not in worker.started:
            if pod["status"]["phase"] == "Running":
                return Answer(200, b"", "text/plain")
            raise Refusal(
                400, f'container "{wanted}" in pod "{at.name}" is waiting to start: {_waits_for(pod, wanted)}'
            )
        if truth(query, "previous"):
            raise Refusal(400, f'previous terminated container "{wanted}" in pod "{at.name}" not found')
        lines = _silence(gone) if fault.silent else worker.logs[wanted].read(query, gone)
        return Answer(200, lines, "text/plain")

    def _watch(self, at: Route, query: dict[str, str], fault: Fault, gone: Gone) -> Answer:
        watch = Watch(self._store, at, query, bookmark_every=self._bookmark_every, lag=fault.lag)
        return Answer(200, self._counted(watch, _silence(gone) if fault.silent else watch.lines(gone)))

    def _counted(self, watch: Watch, lines: Iterable[bytes]) -> Iterator[bytes]:
        self.watches.add(watch)
        self.requests.watch_opened(+1)
        try:
            yield from lines
        finally:
            self.watches.discard(watch)
            self.requests.watch_opened(-1)


def _silence(gone: Gone) -> Iterator[bytes]:
    while not gone():
        time.sleep(0.1)
    yield from ()


def _media_type(headers: Any) -> str:
    return str(headers.get("Content-Type", "")).partition(";")[0].strip()


def _parsed(body: bytes, headers: Any) -> Any:
    if not body:
        return None
    if _media_type(headers) not in ("", "application/json") and "json" not in _media_type(headers):
        raise Refusal(
            415, "the body of the request was in an unknown format - accepted media types include: application/json"
        )
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refusal(400, f"couldn't get version/kind; json parse error: {error}") from None


def _options(query: dict[str, str], body: Any) -> Object:
    """Delete options from the body or, as older clients send them, from the query."""
    options = dict(body or {})
    if query.get("propagationPolicy"):
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    if query.get("gracePeriodSeconds"):
        options.setdefault("gracePeriodSeconds", int(query["gracePeriodSeconds"]))
    return options


def _waits_for(pod: Object, container: str) -> str:
    statuses = pod["status"].get("containerStatuses", [])
    return (
        next((each["state"].get("waiting", {}).get("reason", "") for each in statuses if each["name"] == container), "")
        or "ContainerCreating"
    )
