"""Images in Artifact Registry: whether one is there, which there are, and away with one.

The look-up is one GET of the tag (contract 4.6). Unlike upstream's it keeps "absent" apart from "forbidden" and
"unreachable": building anew because nobody may look would build before every job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_kinetic.builders.repository import DockerRepository
from airflow_provider_kinetic.hooks.google import GoogleIdentityHook
from airflow_provider_kinetic.hooks.google_rest import GoogleRest, Refused, Service
from airflow_provider_kinetic.model.errors import ImageError
from airflow_provider_kinetic.model.images import BuiltImage

SERVICE = Service(
    "Artifact Registry",
    "https://artifactregistry.googleapis.com",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY",
)
READER = "Artifact Registry Reader (roles/artifactregistry.reader)"
ADMINISTRATOR = "Artifact Registry Repository Administrator (roles/artifactregistry.repoAdmin)"
_TAG = re.compile(r"(?:cpu|gpu|tpu)-[0-9a-f]{12}")
_PAGE = 500
_MISSING = 404
_TAGGED = (400, 409)
"""How the deletion of an image is refused that another tag names (FAILED_PRECONDITION)."""


class KineticArtifactRegistryHook(GoogleIdentityHook):
    """Images of one repository, seen with the credentials of a connection of type ``google_cloud_platform``."""

    def __init__(self, gcp_conn_id: str, repository: DockerRepository, **options: Any) -> None:
        super().__init__(gcp_conn_id=gcp_conn_id, **options)
        self.repository = repository
        self._rest = GoogleRest(SERVICE, lambda: self.principal)

    def version(self, tag: str) -> str | None:
        """The digest of the image of that tag; None where there is no such tag. One request.

        :raises ImageError: this identity may not look, or there is no such repository.
        :raises InfrastructureError: Artifact Registry does not answer.
        """
        try:
            found = self._rest.ask("GET", f"v1/{self.repository.package}/tags/{quote(tag, safe='')}")
        except Refused as refused:
            if refused.status == _MISSING and not _names_repository(refused.message):
                return None
            raise self._error("look for images in", refused, READER) from refused
        return str(found["version"]).rpartition("/")[2]

    def exists(self, tag: str) -> bool:
        """Whether an image has that tag; see :meth:`version`."""
        return self.version(tag) is not None

    def images(self) -> list[BuiltImage]:
        """Images under tags that this provider makes, newest first.

        :raises ImageError: this identity may not list them, or there is no such repository.
        """
        found = [built for each in self._listed() for built in self._tagged(each)]
        return sorted(found, key=lambda image: image.created or 0.0, reverse=True)

    def delete(self, tag: str) -> None:
        """Take the tag away, and the image with it unless it has another one. A missing tag is fine.

        :raises ImageError: this identity may not.
        """
        version = self.version(tag)
        if version is None:
            return
        self._remove(f"tags/{quote(tag, safe='')}", fine=(_MISSING,))
        self._remove(f"versions/{quote(version, safe=':')}", fine=(_MISSING, *_TAGGED))

    def _remove(self, path: str, *, fine: tuple[int, ...]) -> None:
        try:
            self._rest.ask("DELETE", f"v1/{self.repository.package}/{path}")
        except Refused as refused:
            if refused.status not in fine:
                raise self._error("delete images of", refused, ADMINISTRATOR) from refused

    def _listed(self) -> Iterator[dict[str, Any]]:
        params: dict[str, Any] = {"pageSize": _PAGE}
        while True:
            try:
                page = self._rest.ask("GET", f"v1/{self.repository.path}/dockerImages", params=params)
            except Refused as refused:
                raise self._error("list the images of", refused, READER) from refused
            yield from page.get("dockerImages") or []
            if not page.get("nextPageToken"):
                return
            params["pageToken"] = page["nextPageToken"]

    def _tagged(self, found: dict[str, Any]) -> Iterator[BuiltImage]:
        name = self.repository.image
        if str(found.get("uri", "")).partition("@")[0] != name:
            return
        size = found.get("imageSizeBytes")
        for tag in filter(_TAG.fullmatch, found.get("tags") or []):
            yield BuiltImage(
                tag=tag,
                uri=f"{name}:{tag}",
                created=_seconds(found.get("uploadTime")),
                size=int(size) if size is not None else None,
            )

    def _error(self, verb: str, refused: Refused, role: str) -> ImageError:
        place, who = self.repository, self.principal.name
        if refused.status == 404:
            return ImageError(
                f"There is no repository {place.name!r} in {place.location} of the project {place.project!r}:"
                f" {refused.message}",
                advice=f"Make it: `gcloud artifacts repositories create {place.name} --repository-format=docker"
                f" --location={place.location} --project={place.project}`; or name another as `build_repository` of the"
                " connection, or correct `cluster`, `zone` and `project`.",
            )
        if refused.status == 403:
            return ImageError(
                f"{who} may not {verb} the repository {place.name!r} of the project {place.project!r}:"
                f" {refused.message}",
                advice=f"Grant it {role} on the repository. Is the Artifact Registry API enabled in the project? A"
                " repository that does not exist may be reported in the same way.",
            )
        if refused.status == 401:
            return ImageError(
                f"Google does not accept the credentials of {who}: {refused.message}",
                advice="The key was deleted or the account disabled: correct the connection that `gcp_conn_id` names.",
            )
        return ImageError(
            f"Artifact Registry refuses to {verb} the repository {place.name!r}: {refused}",
            advice="Its answer says why; 429 is a quota of the project: retry later.",
        )


def _names_repository(message: str) -> bool:
    """Of a 404: whether it is about the repository. The service tells so in words only, if at all."""
    return "repositor" in message.lower() and "/packages/" not in message


def _seconds(time: object) -> float | None:
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return None
