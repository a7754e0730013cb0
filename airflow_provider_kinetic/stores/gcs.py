"""Objects in Google Cloud Storage.

Everything that may be repeated is repeated by the client library, so the point here is that a repetition is safe: a
create-only write carries a mark of its own and knows its object again when only the answer was lost, deletions name
the generation that they mean, and downloads are compared with the checksum of the whole object.
"""

from __future__ import annotations

import base64
import builtins
import io
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_kinetic.model.errors import ConfigurationError, StoreError
from airflow_provider_kinetic.stores.base import ObjectExists, ObjectInfo
from airflow_provider_kinetic.stores.gcs_errors import bucket_missing, explained

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Client

MARK = "kinetic-write"
"""Custom metadata of objects that were made create-only: which call made them."""
PATIENCE = 120.0
"""Seconds for which a request that fails for a passing reason is repeated."""
CHUNK = 4 << 20
"""Bytes of one request of a large upload. The library's own 100 MiB would be held in memory."""
DELETIONS = 8
"""Deletions at a time: below the ten connections that the library's transport keeps."""
_CREATIONS = 3


class GcsStore:
    """The ``Store`` port over Cloud Storage.

    :param client_factory: makes the client for one identity; called once, when the first object is asked for. The
        client honours ``STORAGE_EMULATOR_HOST``.
    :param patience: seconds for which a request that fails for a passing reason is repeated.
    """

    scheme = "gs"

    def __init__(self, client_factory: Callable[[], Client], *, patience: float = PATIENCE) -> None:
        self._client_factory = client_factory
        self._patience = patience
        self._made: Client | None = None
        self._making = threading.Lock()

    def read(self, uri: str) -> bytes:
        stream = io.BytesIO()
        self._fetch(uri, stream)
        return stream.getvalue()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        with explained("write", uri):
            self._put(self._blob(uri), io.BytesIO(data), len(data), if_absent)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        with explained("write", uri):
            blob = self._blob(uri)
            with path.open("rb") as stream:
                self._put(blob, stream, path.stat().st_size, if_absent)

    def download(self, uri: str, path: Path) -> None:
        """No file is left behind by a download that fails."""
        with explained("read", uri):
            self._blob(uri)  # a URI of another kind is refused before the target is touched
            with path.open("wb") as stream:
                try:
                    self._fetch(uri, stream)
                except BaseException:
                    path.unlink()
                    raise

    def stat(self, uri: str) -> ObjectInfo | None:
        with explained("look at", uri):
            blob = self._look(self._blob(uri))
            return None if blob is None else _info(uri, blob)

    def list(self, prefix: str, *, after: str = "") -> builtins.list[ObjectInfo]:
        with explained("list", prefix):
            place = f"gs://{_split(prefix)[0]}/"
            found = [_info(place + blob.name, blob) for blob in self._blobs(prefix, after)]
            return [info for info in found if info.uri > after]

    def copy(self, source: str, target: str) -> None:
        """On the server, also between buckets."""
        with explained("copy", source):
            origin, copied = self._blob(source), self._blob(target)
            token = None
            while True:
                token, _, _ = copied.rewrite(origin, token=token, retry=self._retry)
                if token is None:
                    return

    def delete(self, uri: str) -> None:
        with explained("delete", uri):
            blob = self._look(self._blob(uri))
            if blob is not None:
                self._discard(blob)

    def delete_prefix(self, prefix: str) -> int:
        """What was there when it was listed: an object that is replaced meanwhile stays."""
        with explained("delete", prefix):
            if not _split(prefix)[1].strip("/"):
                raise ConfigurationError(
                    f"Refusing to delete everything under {prefix}",
                    advice="A prefix to delete names a folder of the bucket: gs://bucket/folder/.",
                )
            with ThreadPoolExecutor(DELETIONS, thread_name_prefix="kinetic-delete") as pool:
                return sum(pool.map(self._discard, self._blobs(prefix, "")))

    @property
    def _client(self) -> Client:
        with self._making:
            if self._made is None:
                self._made = self._client_factory()
            return self._made

    @cached_property
    def _retry(self) -> Retry:
        from google.cloud.storage.retry import DEFAULT_RETRY

        retry: Retry = DEFAULT_RETRY.with_timeout(self._patience).with_delay(initial=0.25, maximum=16.0)
        return retry

    def _blob(self, uri: str) -> Blob:
        bucket, name = _split(uri)
        if not name:
            raise ConfigurationError(f"{uri} names no object", advice="An object is gs://bucket/name.")
        return self._client.bucket(bucket).blob(name)

    def _look(self, blob: Blob) -> Blob | None:
        """The same with its attributes; None when there is no such object."""
        from google.api_core.exceptions import NotFound

        try:
            blob.reload(retry=self._retry)
        except NotFound as error:
            if bucket_missing(error):
                raise
            return None
        return blob

    def _blobs(self, prefix: str, after: str) -> Any:
        bucket, stem = _split(prefix)
        place = f"gs://{bucket}/"
        return self._client.list_blobs(
            bucket,
            prefix=stem or None,
            start_offset=after[len(place) :] or None if after.startswith(place) else None,
            fields="items(name,size,updated,generation),nextPageToken",
            retry=self._retry,
        )

    def _fetch(self, uri: str, stream: BinaryIO) -> None:
        """The library checks no checksum when it had to begin again in the middle, so it is checked here."""
        with explained("read", uri):
            blob = self._blob(uri)
            checked = _Checked(stream)
            blob.download_to_file(checked, checksum=None, retry=self._retry)
            if blob.crc32c and checked.crc32c() != blob.crc32c:
                raise StoreError(
                    f"Cannot read {uri}: what arrived has the CRC32C {checked.crc32c()}, the object has {blob.crc32c}",
                    advice="Try again; if it stays so, look for a proxy that changes what passes through it.",
                )

    def _put(self, blob: Blob, stream: BinaryIO, size: int, if_absent: bool) -> None:
        from google.api_core.exceptions import PreconditionFailed

        blob.chunk_size = CHUNK
        mark = secrets.token_hex(16)
        if if_absent:
            blob.metadata = {MARK: mark}
        for _ in range(_CREATIONS):
            try:
                stream.seek(0)
                blob.upload_from_file(
                    stream,
                    size=size,
                    content_type="application/octet-stream",
                    if_generation_match=0 if if_absent else None,
                    checksum="crc32c",
                    retry=self._retry,
                )
                return
            except PreconditionFailed:
                found = self._look(blob.bucket.blob(blob.name))
                if found is not None:
                    if (found.metadata or {}).get(MARK) == mark:
                        return  # an earlier try arrived and its answer was lost
                    break
        raise ObjectExists(f"gs://{blob.bucket.name}/{blob.name}")

    def _discard(self, blob: Blob) -> bool:
        """Delete this generation; False when it was gone. A name that was replaced since counts as deleted before."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        try:
            blob.delete(if_generation_match=blob.generation, retry=self._retry)
        except (NotFound, PreconditionFailed):
            return False
        return True


class _Checked(io.RawIOBase):
    """Passes on what is written and knows its CRC32C, in the form of the service: Base64, most significant first."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._value = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        import google_crc32c

        self._value = google_crc32c.extend(self._value, data)
        return self._stream.write(data)

    def crc32c(self) -> str:
        return base64.b64encode(self._value.to_bytes(4, "big")).decode()


def _split(uri: str) -> tuple[str, str]:
    """Bucket and name. Names are kept as they are: nothing in a ``gs://`` URI is escaped."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if scheme != "gs" or not bucket:
        raise ConfigurationError(
            f"Not an object of Cloud Storage: {uri}",
            advice="Use an `output_dir` of the form gs://bucket/folder, or a connection of another `platform`.",
        )
    return bucket, name


def _info(uri: str, blob: Blob) -> ObjectInfo:
    return ObjectInfo(uri=uri, size=blob.size, updated=blob.updated.timestamp())
