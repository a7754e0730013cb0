"""Images of a cluster: built by Cloud Build, kept in Artifact Registry, found again by content.

Services are asked through protocols, which hooks fill with a connection's credentials. A hit costs one
request. Everything that a demand has to know of others lies in the store (``claims``), so any worker or
triggerer may go on where another died.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from airflow_provider_kinetic.builders.claims import FOLDER, Claims, Objects
from airflow_provider_kinetic.builders.cloud_build_request import SOURCE, Workshop, build_request, source_archive
from airflow_provider_kinetic.builders.cloud_build_status import Log, Reporter
from airflow_provider_kinetic.builders.dockerfile import image_request
from airflow_provider_kinetic.builders.named import NamedBuilder, named_image
from airflow_provider_kinetic.builders.one_build import Demand
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.model.errors import KineticError
from airflow_provider_kinetic.model.images import Build, BuildState, BuildStatus, BuiltImage, Image, ImageRequest

_READERS = 8


class Registry(Protocol):
    """The repository of the images."""

    def exists(self, tag: str) -> bool: ...

    def images(self) -> list[BuiltImage]: ...

    def delete(self, tag: str) -> None: ...


class Builds(Log, Protocol):
    """Cloud Build. A build is what its REST API says of it; ``place`` is ``projects/{p}/locations/{l}``."""

    def create(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]: ...

    def look(self, place: str, build_id: str) -> dict[str, Any] | None: ...

    def find(self, place: str, tag: str) -> list[dict[str, Any]]: ...

    def cancel(self, place: str, build_id: str) -> None: ...


Look = Callable[[str, str], Awaitable[dict[str, Any] | None]]
"""Place and id → the build; None where there is none."""


@dataclass(frozen=True)
class Services:
    """Whom the builder asks. Nothing is opened before it is used."""

    store: Objects
    registry: Registry
    builds: Builds
    look: Look
    """``builds.look`` for event loops."""


class CloudImageBuilder:
    """The ``ImageBuilder`` port over Cloud Build and Artifact Registry.

    :param image: the image's name without a tag.
    :param root: where jobs' objects lie: ``gs://{bucket}``. What is built is put there, so no other bucket is needed.
    :param named: answers for images that are not built.
    """

    def __init__(self, image: str, root: str, shop: Workshop, services: Services, named: NamedBuilder) -> None:
        self._image, self._root, self._shop, self._services, self._named = image, root, shop, services, named
        self._reporter = Reporter(services.store, root, services.builds)

    def request_for(self, category: str, requirements: str, base_image: str | None = None) -> ImageRequest:
        options = self._shop.options
        options = replace(options, base_image=base_image or options.base_image)
        return image_request(category, requirements, ".".join(map(str, sys.version_info[:2])), options)

    def uri(self, request: ImageRequest) -> str:
        return f"{self._image}:{request.tag}"

    def find(self, request: ImageRequest) -> Image | None:
        """One request.

        :raises ImageError: the repository does not exist, or nobody may look into it.
        :raises InfrastructureError: Artifact Registry does not answer.
        """
        return Image(self.uri(request), cached=True) if self._services.registry.exists(request.tag) else None

    def start(self, request: ImageRequest, *, log: Callable[[str], None]) -> Build:
        """See :class:`~airflow_provider_kinetic.builders.base.ImageBuilder`.

        :raises QuotaExceeded: the project may not build more now.
        :raises ConfigurationError: region and worker pool contradict one another.
        """
        claims = Claims(self._services.store, self._root, request.tag)
        order = _Order(self._shop, self._services, claims, request, self.uri(request), self.status)
        number, build, ours = Demand(claims, order, log).meet()
        return Build(tag=request.tag, uri=self.uri(request), number=number, started_by_us=ours, **build)

    def status(self, build: Build) -> BuildStatus:
        return self._reporter.answer(build, self._services.builds.look(build.place, build.id))

    async def look(self, build: Build) -> BuildStatus:
        """:meth:`status` for event loops: the request is awaited, a failure is looked into in a thread."""
        found = await self._services.look(build.place, build.id)
        return await asyncio.to_thread(self._reporter.answer, build, found)

    def cancel(self, build: Build) -> None:
        self._services.builds.cancel(build.place, build.id)

    def named(self, container_image: str) -> Image:
        return named_image(container_image)

    def prebuilt(self, category: str, repository: str | None = None) -> Image:
        return self._named.prebuilt(category, repository)

    def images(self) -> list[BuiltImage]:
        found = self._services.registry.images()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="kinetic-images") as pool:
            return list(pool.map(self._described, found))

    def delete(self, tag: str) -> None:
        self._services.registry.delete(tag)

    def _described(self, image: BuiltImage) -> BuiltImage:
        """With its requirements, where the request for it still lies in the bucket."""
        try:
            request = json.loads(self._services.store.read(f"{self._root}/{FOLDER}/{image.tag}/request.json"))
            return replace(image, requirements=str(request["requirements"]))
        except (ObjectMissing, KineticError, ValueError, KeyError, TypeError):
            return image


@dataclass(frozen=True)
class _Order:
    """What a demand may have to do; see :class:`~airflow_provider_kinetic.builders.one_build.Service`.

    What is written down of a build are fields of :class:`Build`: ``id``, ``log_url``, ``place``.
    """

    shop: Workshop
    services: Services
    claims: Claims
    request: ImageRequest
    uri: str
    status: Callable[[Build], BuildStatus]

    def create(self, number: int, nonce: str) -> Callable[[], dict[str, Any]]:
        source, place = self.claims.uri(number, SOURCE), self.shop.place
        order = build_request(self.shop, self.uri, source, ["kinetic", self.request.tag, nonce])
        self.services.store.write(source, source_archive(self.request))
        return lambda: self._facts(place, self.services.builds.create(place, order))

    def adopt(self, nonce: str) -> dict[str, Any] | None:
        place = self.shop.place
        found = self.services.builds.find(place, nonce) if nonce else []
        return self._facts(place, found[0]) if found else None

    def over(self, number: int, build: dict[str, Any]) -> dict[str, Any] | None:
        status = self.status(Build(self.request.tag, self.uri, number=number, **build))
        if not status.state.terminal:
            return None
        if status.state is not BuildState.SUCCEEDED:
            return {"state": status.state.value}
        return None if self.services.registry.exists(self.request.tag) else {"state": "DELETED"}

    def cancel(self, build: dict[str, Any]) -> None:
        self.services.builds.cancel(build["place"], build["id"])

    def _facts(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]:
        build_id = str(build["id"])
        return {"id": build_id, "log_url": str(build.get("logUrl") or self.shop.log_url(build_id)), "place": place}
