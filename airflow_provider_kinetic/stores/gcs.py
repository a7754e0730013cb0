"""Objects in Google Cloud Storage.

Everything that may be repeated is repeated by the client library, so the point here is that a repetition is safe: a
create-only write carries a mark of its own and knows its object again when only the answer was lost, deletions name
the generation that they mean, and downloads are compared with the checksum of the whole object.
"""

from __future__ import annotations

import builtins
import io
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.packaging.data_tree import DataFile
from airflow_provider_kinetic.stores.base import NOTHING, ObjectInfo, Report
from airflow_provider_kinetic.stores.clock import ServerClock
from airflow_provider_kinetic.stores.gcs_errors import explained
from airflow_provider_kinetic.stores.gcs_requests import discard, fetch, look, put
from airflow_provider_kinetic.stores.gcs_upload import BulkUpload

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Client

PATIENCE = 120.0
"""Seconds for which a request that fails for a passing reason is repeated."""
DELETIONS = 8
"""Deletions at a time: below the ten connections that the library's transport keeps."""


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
        self._clock = ServerClock()

    def read(self, uri: str) -> bytes:
        stream = io.BytesIO()
        with explained("read", uri):
            fetch(uri, self._blob(uri), stream, self._retry)
        return stream.getvalue()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        with explained("write", uri):
            put(self._blob(uri), io.BytesIO(data), len(data), if_absent, self._retry)

    def upload(self, path: Path, uri: str, *, if_absent: bool = False) -> None:
        with explained("write", uri):
            blob = self._blob(uri)
            with path.open("rb") as stream:
                put(blob, stream, path.stat().st_size, if_absent, self._retry)

    def upload_many(
        self,
        files: Iterable[tuple[DataFile, str]],
        *,
        there: Mapping[str, ObjectInfo] = NOTHING,
        report: Report | None = None,
    ) -> int:
        """Not by the client library: see :mod:`airflow_provider_kinetic.stores.gcs_upload`."""
        listed = list(files)
        for _, uri in listed:
            _split(uri)
        return BulkUpload(self._client, self._patience, listed, there).run(report) if listed else 0

    def download(self, uri: str, path: Path) -> None:
        """No file is left behind by a download that fails."""
        with explained("read", uri):
            self._blob(uri)  # a URI of another kind is refused before the target is touched
            with path.open("wb") as stream:
                try:
                    fetch(uri, self._blob(uri), stream, self._retry)
                except BaseException:
                    path.unlink()
                    raise

    def stat(self, uri: str) -> ObjectInfo | None:
        with explained("look at", uri):
            blob = look(self._blob(uri), self._retry)
            return None if blob is None else _info(f"gs://{blob.bucket.name}/", blob)

    def list(
        self, prefix: str, *, after: str = "", before: str = "", limit: int | None = None
    ) -> builtins.list[ObjectInfo]:
        with explained("list", prefix):
            place = f"gs://{_split(prefix)[0]}/"
            blobs = self._blobs(prefix, after, before, limit)
            behind = (info for blob in blobs if (info := _info(place, blob)).uri > after)
            return list(islice(behind, limit))

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
            blob = look(self._blob(uri), self._retry)
            if blob is not None:
                discard(blob, self._retry)

    def delete_prefix(self, prefix: str) -> int:
        """What was there when it was listed: an object that is replaced meanwhile stays."""
        with explained("delete", prefix):
            if not _split(prefix)[1].strip("/"):
                raise ConfigurationError(
                    f"Refusing to delete everything under {prefix}",
                    advice="A prefix to delete names a folder of the bucket: gs://bucket/folder/.",
                )
            with ThreadPoolExecutor(DELETIONS, thread_name_prefix="kinetic-delete") as pool:
                return sum(pool.map(partial(discard, retry=self._retry), self._blobs(prefix)))

    def now(self, uri: str) -> float:
        """Costs a request only where nothing was asked for before."""
        if not self._clock.known:
            self.list(uri, limit=1)
        return self._clock.now()

    @property
    def _client(self) -> Client:
        with self._making:
            if self._made is None:
                self._made = self._client_factory()
                self._made._http.hooks["response"].append(self._clock.hear)
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

    def _blobs(self, prefix: str, after: str = "", before: str = "", limit: int | None = None) -> Any:
        bucket, stem = _split(prefix)
        place = f"gs://{bucket}/"
        return self._client.list_blobs(
            bucket,
            prefix=stem or None,
            start_offset=after[len(place) :] or None if after.startswith(place) else None,
            end_offset=before[len(place) :] or None if before.startswith(place) else None,
            page_size=None if limit is None else limit + 1,  # the one that is named by `after` may come first
            fields="items(name,size,updated,timeCreated,crc32c,generation),nextPageToken",
            retry=self._retry,
        )


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


def _info(place: str, blob: Blob) -> ObjectInfo:
    return ObjectInfo(
        uri=place + blob.name,
        size=blob.size,
        updated=blob.updated.timestamp(),
        created=blob.time_created.timestamp(),
        crc32c=blob.crc32c or "",
    )
