"""The four requests to Cloud Storage that need care: look, fetch, put, discard. Each is safe to repeat."""

from __future__ import annotations

import base64
import io
import secrets
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_kinetic.model.errors import StoreError
from airflow_provider_kinetic.stores.base import ObjectExists
from airflow_provider_kinetic.stores.gcs_errors import bucket_missing

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob

MARK = "kinetic-write"
"""Custom metadata of objects that were made create-only: which call made them."""
CHUNK = 4 << 20
"""Bytes of one request of a large upload. The library's own 100 MiB would be held in memory."""
_CREATIONS = 3


def look(blob: Blob, retry: Retry) -> Blob | None:
    """The same with its attributes; None when there is no such object."""
    from google.api_core.exceptions import NotFound

    try:
        blob.reload(retry=retry)
    except NotFound as error:
        if bucket_missing(error):
            raise
        return None
    return blob


def fetch(uri: str, blob: Blob, stream: BinaryIO, retry: Retry) -> None:
    """The library checks no checksum when it had to begin again in the middle, so it is checked here."""
    checked = _Checked(stream)
    blob.download_to_file(checked, checksum=None, retry=retry)
    if blob.crc32c and checked.crc32c() != blob.crc32c:
        raise StoreError(
            f"Cannot read {uri}: what arrived has the CRC32C {checked.crc32c()}, the object has {blob.crc32c}",
            advice="Try again; if it stays so, look for a proxy that changes what passes through it.",
        )


def put(blob: Blob, stream: BinaryIO, size: int, if_absent: bool, retry: Retry) -> None:
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
                retry=retry,
            )
            return
        except PreconditionFailed:
            found = look(blob.bucket.blob(blob.name), retry)
            if found is not None:
                if (found.metadata or {}).get(MARK) == mark:
                    return  # an earlier try arrived and its answer was lost
                break
    raise ObjectExists(f"gs://{blob.bucket.name}/{blob.name}")


def discard(blob: Blob, retry: Retry) -> bool:
    """Delete this generation; False when it was gone. A name that was replaced since counts as deleted before."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        blob.delete(if_generation_match=blob.generation, retry=retry)
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
