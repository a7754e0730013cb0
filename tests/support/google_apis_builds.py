"""Cloud Build, Artifact Registry and Cloud Logging on the loopback, over REST.

with GoogleBuilds() as google:
    google.enter(monkeypatch, tmp_path)
    extra = google.connection("submit@acme.iam.gserviceaccount.com")

Strict: a field, parameter or path that it does not know is an error, and so is a build that Google would refuse.
Builds stay QUEUED until the test says what becomes of them (``work``, ``succeed``, ``fail``), or ``outcome`` says it
for each look. A build that succeeds pushes its images. ``requests`` counts what was asked for; ``forbidden``
holds permissions that nobody has.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from gcs_server import GcsServer
from google_apis_wire import Answer, Refusal, Wire, read_token
from identity_server import IdentityServer

if TYPE_CHECKING:
    import pytest

PROJECT = "acme"
OVERRIDES = ("CLOUDBUILD", "ARTIFACTREGISTRY", "LOGGING")
RUNNING = ("QUEUED", "WORKING")
Build = dict[str, Any]

_BUILD_FIELDS = {"source", "steps", "images", "timeout", "serviceAccount", "options", "tags"}
_OPTIONS = {"logging", "machineType", "pool"}
_STEP = {"name", "args", "env"}


class GoogleBuilds(IdentityServer):
    """One project with everything that images need.

    :param repositories: paths behind ``projects/{project}/``.
    """

    def __init__(self, *repositories: str) -> None:
        super().__init__()
        self.repositories = set(repositories or ("locations/europe/repositories/kn-trainer",))
        self.tags: dict[str, dict[str, str]] = {}
        """Image name without tag → tag → digest."""
        self.pushed: dict[str, dict[str, Any]] = {}
        """Digest → facts of the image."""
        self.builds: dict[str, Build] = {}
        """By id, in the order of creation."""
        self.logs: dict[str, list[str]] = {}
        """Build id → lines."""
        self.asked: Counter[str] = Counter()
        """By what was asked for: ``tags.get``."""
        self.forbidden: set[str] = set()
        """Permissions, such as ``artifactregistry.tags.get``, that are refused."""
        self.faults: list[tuple[str, int, str]] = []
        """What is to fail next, with status and message. Status 0: it is done, and the answer is lost."""
        self.outcome: Callable[[Build], None] = lambda _: None
        """Called with a build before each look at it."""
        self.storage: GcsServer | None = None
        """Where sources of builds have to be; None: nobody looks."""
        self.lock = threading.RLock()
        self.folder: Path
        self._service = ThreadingHTTPServer(("127.0.0.1", 0), partial(Wire, self))
        self.service = f"http://127.0.0.1:{self._service.server_address[1]}"

    def __enter__(self) -> GoogleBuilds:
        super().__enter__()
        threading.Thread(target=self._service.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.shutdown()
        self._service.server_close()
        super().__exit__()

    # --- what a test does -------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """In which Google's libraries come here."""
        return {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": self.service for name in OVERRIDES}

    def enter(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Have this process come here."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing leaves this machine
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        self.folder = folder

    def accepts(self, assertion: str) -> bool:
        """Google's library names Google's own endpoint as the audience, whatever the address in the key file."""
        return super().accepts(assertion) or bool(self.claims["aud"] == "https://oauth2.googleapis.com/token")

    def connection(self, account: str, **extra: Any) -> dict[str, Any]:
        """The extra of a connection of type ``google_cloud_platform`` that names a key file of ``account``."""
        path = self.folder / f"{account}.json"
        key = {**self.service_account(), "client_email": account, "project_id": PROJECT}
        path.write_text(json.dumps(key))
        return {"key_path": str(path), "project": PROJECT, **extra}

    def only(self) -> Build:
        """The one build that there is."""
        (build,) = self.builds.values()
        return build

    def work(self, build: Build) -> None:
        build["status"] = "WORKING"

    def succeed(self, build: Build) -> None:
        """It ends well: its images are there."""
        with self.lock:
            if build["status"] in RUNNING:
                for image in build["images"]:
                    self.push(image)
                self._end(build, "SUCCESS")

    def fail(self, build: Build, *lines: str, status: str = "FAILURE", **facts: Any) -> None:
        """It ends badly, with these last lines in its log."""
        with self.lock:
            if build["status"] in RUNNING:
                self.logs[build["id"]] = list(lines)
                build.update(facts)
                self._end(build, status)

    def push(self, image: str, content: str = "", created: float | None = None) -> str:
        """An image under a name with its tag; returns its digest."""
        name, _, tag = image.rpartition(":")
        digest = f"sha256:{hashlib.sha256((content or tag).encode()).hexdigest()}"
        self.pushed[digest] = {"created": time.time() if created is None else created, "size": 1000 + len(tag)}
        self.tags.setdefault(name, {})[tag] = digest
        return digest

    def _end(self, build: Build, status: str) -> None:
        build.update(status=status, finishTime=_stamp(time.time()))

    # --- Cloud Build ------------------------------------------------------------------------------------------------

    def create_build(self, request: Answer) -> Build:
        request.needs("cloudbuild.builds.create")
        order = _read_build(request.body)
        _check_build(order)
        self._check_source(order["source"]["storageSource"])
        with self.lock:
            build_id = str(uuid4())
            place = request.path.removesuffix("/builds").removeprefix("v1/")
            build = self.builds[build_id] = {
                **order,
                "id": build_id,
                "name": f"{place}/builds/{build_id}",
                "projectId": request.parts["project"],
                "status": "QUEUED",
                "createTime": _stamp(time.time()),
                "logUrl": f"https://console.cloud.google.com/cloud-build/builds/{build_id}?project=42",
            }
        kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
        return {"name": f"operations/build/{PROJECT}/{build_id}", "metadata": {"@type": kind, "build": build}}

    def _check_source(self, source: dict[str, str]) -> None:
        bucket = None if self.storage is None else self.storage.buckets.get(source["bucket"])
        if self.storage is not None and (bucket is None or source["object"] not in bucket.names()):
            raise Refusal(400, "could not resolve source: googleapi: Error 404: No such object")

    def get_build(self, request: Answer) -> Build:
        request.needs("cloudbuild.builds.get")
        return self._seen(self._found(request))

    def list_builds(self, request: Answer) -> Build:
        request.needs("cloudbuild.builds.list")
        wanted = request.query["filter"].removeprefix('tags="').removesuffix('"')
        place = request.path.removesuffix("/builds").removeprefix("v1/")
        found = [
            self._seen(build)
            for build in reversed(self.builds.values())
            if wanted in build["tags"] and build["name"].startswith(f"{place}/builds/")
        ]
        return {"builds": found}

    def cancel_build(self, request: Answer) -> Build:
        request.needs("cloudbuild.builds.update")
        build = self._found(request)
        with self.lock:
            if build["status"] not in RUNNING:
                raise Refusal(400, "Build cannot be cancelled: it is not running")
            self._end(build, "CANCELLED")
        return build

    def _found(self, request: Answer) -> Build:
        build = self.builds.get(request.parts["id"])
        if build is None or not request.path.startswith(f"v1/{build['name']}"):
            raise Refusal(404, "Requested entity was not found.")
        return build

    def _seen(self, build: Build) -> Build:
        self.outcome(build)
        return build

    # --- Artifact Registry ------------------------------------------------------------------------------------------

    def get_tag(self, request: Answer) -> dict[str, Any]:
        request.needs("artifactregistry.tags.get")
        digest = self._tags(request).get(request.parts["tag"])
        if digest is None:
            raise Refusal(404, "Requested entity was not found.")
        name = request.path.removeprefix("v1/")
        return {"name": name, "version": f"{name.partition('/tags/')[0]}/versions/{digest}"}

    def delete_tag(self, request: Answer) -> dict[str, Any]:
        request.needs("artifactregistry.tags.delete")
        if self._tags(request).pop(request.parts["tag"], None) is None:
            raise Refusal(404, "Requested entity was not found.")
        return {}

    def delete_version(self, request: Answer) -> dict[str, Any]:
        request.needs("artifactregistry.versions.delete")
        digest = request.parts["version"]
        if digest in self._tags(request).values():
            raise Refusal(400, f"cannot delete version {digest} because it is tagged")
        if self.pushed.pop(digest, None) is None:
            raise Refusal(404, "Requested entity was not found.")
        return {"name": "operations/1"}

    def list_images(self, request: Answer) -> dict[str, Any]:
        """Two to a page, so that everybody has to turn it."""
        request.needs("artifactregistry.dockerimages.list")
        place = self._repository(request)
        found = [
            {
                "uri": f"{name}@{digest}",
                "tags": [tag for tag, of in tags.items() if of == digest],
                "imageSizeBytes": str(self.pushed[digest]["size"]),
                "uploadTime": _stamp(self.pushed[digest]["created"]),
            }
            for name, tags in self.tags.items()
            if name.startswith(place)
            for digest in dict.fromkeys(tags.values())
        ]
        at = int(request.query.get("pageToken", 0))
        more = {"nextPageToken": str(at + 2)} if at + 2 < len(found) else {}
        return {"dockerImages": found[at : at + 2], **more}

    def _repository(self, request: Answer) -> str:
        parts = request.parts
        path = f"locations/{parts['location']}/repositories/{parts['repository']}"
        if path not in self.repositories:
            raise Refusal(404, f'Repository "projects/{parts["project"]}/{path}" was not found')
        return f"{parts['location']}-docker.pkg.dev/{parts['project']}/{parts['repository']}/"

    def _tags(self, request: Answer) -> dict[str, str]:
        return self.tags.setdefault(self._repository(request) + unquote(request.parts["package"]), {})

    # --- Cloud Logging ----------------------------------------------------------------------------------------------

    def list_entries(self, request: Answer) -> dict[str, Any]:
        request.needs("logging.logEntries.list")
        body = request.body
        assert body["resourceNames"] == [f"projects/{PROJECT}"], body
        assert body["orderBy"] == "timestamp desc", body
        build_id = body["filter"].removeprefix('resource.type="build" AND resource.labels.build_id="').removesuffix('"')
        lines = self.logs.get(build_id, [])[-body["pageSize"] :]
        return {"entries": [{"textPayload": line} for line in reversed(lines)]}

    def known(self, authorization: str) -> bool:
        """A token that was issued here, or one that an account signed itself."""
        token = authorization.removeprefix("Bearer ")
        return token in self.issued or read_token(token, self.key) is not None


def _read_build(body: Build) -> Build:
    """As Google's own definition of the message reads it, with words for enumerations."""
    from google.cloud.devtools.cloudbuild_v1.types import Build as Message
    from google.protobuf.json_format import MessageToDict, ParseError

    try:
        message = Message.from_json(json.dumps(body))
    except ParseError as error:
        raise Refusal(400, f"Invalid JSON payload received: {error}") from error
    return dict(MessageToDict(Message.pb(message)))


def _check_build(order: Build) -> None:
    """As Cloud Build would complain."""
    unknown = set(order) - _BUILD_FIELDS | set(order["options"]) - _OPTIONS
    unknown |= {field for step in order["steps"] for field in set(step) - _STEP}
    if unknown:
        raise Refusal(400, f"Invalid JSON payload received. Unknown name: {sorted(unknown)[0]}")
    if order["options"].get("logging") != "CLOUD_LOGGING_ONLY":
        raise Refusal(
            400,
            "if 'build.service_account' is specified, the build must either (a) specify"
            " 'build.logs_bucket' (b) use the CLOUD_LOGGING_ONLY logging option",
        )
    if "pool" in order["options"] and "machineType" in order["options"]:
        raise Refusal(400, "machine_type may not be set with a private pool")
    if not order["serviceAccount"].startswith("projects/"):
        raise Refusal(400, "invalid service account")
    if not order["source"]["storageSource"]["object"] or len(order["tags"]) > 64:
        raise Refusal(400, "invalid build")


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
