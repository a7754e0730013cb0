"""Cloud Build with the credentials of a connection: a hook for workers and one for event loops.

Both stand on the google provider's hooks. They speak REST, which passes proxies, survives forks and can be pointed at
another address in clear text; the library has no such transport for event loops, so there the one request that is
needed is made by itself. A build is named by its place, ``projects/{project}/locations/{location}``, and its id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.hooks.cloud_build import CloudBuildAsyncHook, CloudBuildHook
from airflow.providers.google.common.consts import CLIENT_INFO

from airflow_provider_kinetic.hooks.cloud_build_errors import START, refusal, unanswered
from airflow_provider_kinetic.hooks.google import GoogleIdentityHook
from airflow_provider_kinetic.hooks.google_rest import GoogleRest, Refused, Service
from airflow_provider_kinetic.model.errors import InfrastructureError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient
    from google.cloud.devtools.cloudbuild_v1.types import Build

OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD"
"""gcloud's variable for another address of the service."""
LOGGING = Service("Cloud Logging", "https://logging.googleapis.com", "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING")
GLOBAL = "global"
TIMEOUT = 30.0
"""Seconds for one request."""


class KineticCloudBuildHook(GoogleIdentityHook, CloudBuildHook):
    """Starts, looks at and cancels builds; blocks. Builds are plain dictionaries as in the REST API.

    Every method raises ``ImageError`` or ``QuotaExceeded`` where the service refuses, and ``InfrastructureError``
    where it does not answer: what was asked may then have happened or not.
    """

    def get_credentials(self) -> Credentials:
        return self.principal.credentials

    def get_conn(self, location: str = GLOBAL) -> CloudBuildClient:
        """A client over REST, for the caller to close."""
        from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient

        address = os.environ.get(OVERRIDE, "").rstrip("/") or self._get_api_endpoint(location)
        return CloudBuildClient(
            credentials=self.get_credentials(),
            transport="rest",
            client_info=CLIENT_INFO,
            client_options=self.get_client_options(api_endpoint_override=address),
        )

    def create(self, place: str, build: Mapping[str, Any]) -> dict[str, Any]:
        """Start a build; asked once."""
        from google.cloud.devtools.cloudbuild_v1.types import Build

        request = {"parent": place, "build": Build.from_json(json.dumps(build))}
        with self._asking(place, START) as client:
            operation = client.create_build(request=request, timeout=TIMEOUT, retry=None)
        return _plain(operation.metadata.build)

    def look(self, place: str, build_id: str) -> dict[str, Any] | None:
        """One build; None where there is none of that id."""
        from google.api_core.exceptions import NotFound

        with self._asking(place, "look at builds") as client:
            try:
                return _plain(client.get_build(request={"name": f"{place}/builds/{build_id}"}, timeout=TIMEOUT))
            except NotFound:
                return None

    def find(self, place: str, tag: str) -> list[dict[str, Any]]:
        """Builds with this Cloud Build tag, newest first."""
        with self._asking(place, "list builds") as client:
            request = {"parent": place, "filter": f'tags="{tag}"', "page_size": 10}
            return [_plain(build) for build in client.list_builds(request=request, timeout=TIMEOUT).builds]

    def cancel(self, place: str, build_id: str) -> None:
        """Stop a build. One that has ended, or never was, is fine."""
        from google.api_core.exceptions import BadRequest, Conflict, NotFound

        with self._asking(place, "cancel builds") as client:
            try:
                client.cancel_build(request={"name": f"{place}/builds/{build_id}"}, timeout=TIMEOUT, retry=None)
            except (NotFound, BadRequest, Conflict):
                return

    def log_tail(self, project: str, build_id: str, lines: int) -> str | None:
        """The last lines of a build's log; None where this identity may not read it, or nobody answers.

        A failed build is to be reported also where its log cannot be read.
        """
        body = {
            "resourceNames": [f"projects/{project}"],
            "filter": f'resource.type="build" AND resource.labels.build_id="{build_id}"',
            "orderBy": "timestamp desc",
            "pageSize": lines,
        }
        try:
            found = GoogleRest(LOGGING, lambda: self.principal).ask("POST", "v2/entries:list", body=body)
        except (Refused, InfrastructureError):
            return None
        entries = [str(entry.get("textPayload", "")).rstrip() for entry in found.get("entries") or []]
        return "\n".join(reversed(entries))

    @contextmanager
    def _asking(self, place: str, verb: str) -> Iterator[CloudBuildClient]:
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            with self.get_conn(place.rpartition("/")[2]) as client:
                yield client
        except GoogleAPICallError as error:
            raise refusal(error, verb, place, self.principal.name) from error
        except (RetryError, RequestException, GoogleAuthError, ConnectionError) as error:
            raise unanswered(error) from error


class KineticCloudBuildAsyncHook(GoogleIdentityHook, CloudBuildAsyncHook):
    """Looks at builds without blocking the event loop; credentials are loaded, and tokens fetched, in threads."""

    def get_credentials(self) -> Credentials:
        return self.principal.credentials

    async def look(self, place: str, build_id: str) -> dict[str, Any] | None:
        """One build as in the REST API; None where there is none of that id.

        :raises ImageError: this identity may not look.
        :raises InfrastructureError: Cloud Build does not answer.
        """
        location = place.rpartition("/")[2]
        host = (self._get_api_endpoint(location) or "cloudbuild.googleapis.com").removesuffix(":443")
        rest = GoogleRest(Service("Cloud Build", f"https://{host}", OVERRIDE), lambda: self.principal)
        try:
            return await rest.look(f"v1/{place}/builds/{build_id}")
        except Refused as refused:
            if refused.status == 404:
                return None
            raise refusal(refused, "look at builds", place, self.principal.name) from refused

    async def get_cloud_build(self, id_: str, project_id: str = "", *, location: str = GLOBAL, **_: Any) -> Build:
        """The provider's own interface to :meth:`look`."""
        from google.api_core.exceptions import NotFound
        from google.cloud.devtools.cloudbuild_v1.types import Build

        place = f"projects/{project_id or self.project_id}/locations/{location}"
        found = await self.look(place, id_)
        if found is None:
            raise NotFound(f"There is no build {id_} in {place}")  # type: ignore[no-untyped-call]
        build: Build = Build.from_json(json.dumps(found), ignore_unknown_fields=True)
        return build


def _plain(build: Build) -> dict[str, Any]:
    """A build as the REST API writes it."""
    from google.protobuf.json_format import MessageToDict

    return dict(MessageToDict(type(build).pb(build)))
