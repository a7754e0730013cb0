"""LIST: selectors, pages that belong to one state of the cluster, and pages that expired."""

from __future__ import annotations

import base64
import itertools
import json
from collections import OrderedDict

from kube import selectors
from kube.errors import Object, Refusal, expired
from kube.resources import Resource
from kube.route import Route
from kube.selectors import Test
from kube.store import Store

_EXPIRED = "The provided continue parameter is too old to display a consistent list result. You can start a new list "
_EXPIRED += "without the continue parameter."


def chosen(route: Route, query: dict[str, str]) -> Test:
    """Whether an object belongs to the list or watch that a request asks for."""
    by_label = selectors.labels(query.get("labelSelector", ""))
    by_field = selectors.fields(query.get("fieldSelector", ""), route.resource)
    namespace, name = route.namespace, route.name
    return lambda obj: (
        (not namespace or obj["metadata"].get("namespace") == namespace)
        and (not name or obj["metadata"]["name"] == name)
        and by_label(obj)
        and by_field(obj)
    )


class Listing:
    """Keeps what is left of the lists that are being read in pages, as they were when the first page was read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rest: OrderedDict[str, tuple[int, list[Object]]] = OrderedDict()
        self._numbers = itertools.count(1)

    def page(self, route: Route, query: dict[str, str]) -> Object:
        limit = int(query.get("limit") or 0)
        if token := query.get("continue"):
            version, items = self._continued(token)
        else:
            self._check_version(query.get("resourceVersion", ""))
            test = chosen(route, query)
            items, version = self._store.list(route.resource, route.namespace)
            items = [obj for obj in items if test(obj)]
        meta: Object = {"resourceVersion": str(version)}
        if limit and len(items) > limit:
            meta["continue"] = self._keep(version, items[limit:])
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        return listed(route.resource, items, meta)

    def expire(self) -> None:
        """Every list that is being read in pages must be started again."""
        self._rest.clear()

    def _keep(self, version: int, rest: list[Object]) -> str:
        state = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": next(self._numbers)})
        token = base64.urlsafe_b64encode(state.encode()).decode().rstrip("=")
        self._rest[token] = (version, rest)
        while len(self._rest) > 1000:
            self._rest.popitem(last=False)
        return token

    def _continued(self, token: str) -> tuple[int, list[Object]]:
        found = self._rest.get(token)
        if found is not None:
            return found
        try:
            json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        except ValueError:
            raise Refusal(400, "continue key is not valid: illegal base64 data") from None
        raise expired(_EXPIRED)

    def _check_version(self, asked: str) -> None:
        if asked and not asked.isdigit():
            raise Refusal(400, f'resourceVersion: Invalid value: "{asked}": strconv.ParseUint: invalid syntax')
        if asked and int(asked) > self._store.version:
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
            message = f"Timeout: Too large resource version: {asked}, current: {self._store.version}"
            raise Refusal(504, message, details=details | {"retryAfterSeconds": 1})


def listed(resource: Resource, items: list[Object], meta: Object) -> Object:
    """A list object; as on the real server its items carry no kind of their own, apart from custom resources."""
    if not resource.custom:
        items = [{key: value for key, value in obj.items() if key not in ("apiVersion", "kind")} for obj in items]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta, "items": items}
