"""Many files to Cloud Storage at once, by a client of our own.

One object for each file is the rule of the data's layout (contract 11.3), so for small files the time goes into the
client: the library spends over a millisecond of processor time on a request, five times as much as this one, which
sends what the request needs over kept connections (:mod:`airflow_provider_kinetic.job.gcs_http`) and reads no more of
the answer than it has to. Threads suffice then; the library's transfer manager takes processes, each with chunks of
100 MiB in memory. Everything else goes through the library, whose credentials and address this client uses.

Every object is create-only and carries the CRC32C of what was read, so repeating a request is safe, two uploaders
of one content do not replace each other's objects, and the service refuses bytes that changed on their way. A file is
looked at again after it was read and before the object comes into being: no name of a content ever holds another one.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from airflow_provider_kinetic.job.gcs_http import GcsError, Reply, Session
from airflow_provider_kinetic.packaging.crew import Crew
from airflow_provider_kinetic.packaging.data_read import OpenData
from airflow_provider_kinetic.packaging.data_tree import DataFile
from airflow_provider_kinetic.stores.base import ObjectInfo, Report
from airflow_provider_kinetic.stores.gcs_errors import away, explained, refused
from airflow_provider_kinetic.stores.gcs_stream import Seen, StreamedUpload, checksum_of, checksum_text

if TYPE_CHECKING:
    from google.cloud.storage import Client

SMALL = 256 * 1024
"""Up to this many bytes latency counts and not the rate: such files are sent by dozens of threads."""
WHOLE = 4 << 20
"""Up to this many bytes a file is held in memory and sent in one request."""
MOST_SMALL, MOST_LARGE = 32, 6
"""Threads. Each holds at most two copies of a file: 64 MiB in all."""
FEW = 4
"""Threads for small files to begin with: more than that only where the network is slow."""

_HEAD = (
    b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
    b"%b\r\n--%b\r\nContent-Type: application/octet-stream\r\n\r\n"
)
_ABSENT = {"ifGenerationMatch": "0"}


class Item(NamedTuple):
    """One file and the name of its object."""

    file: DataFile
    bucket: str
    name: str

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.name}"


class BulkUpload:
    """One upload of many files.

    :param client: of the library: it knows the address and holds the credentials.
    :param patience: seconds for which a request that fails for a passing reason is repeated.
    :param there: as :meth:`airflow_provider_kinetic.stores.base.Store.upload_many`.
    """

    def __init__(
        self,
        client: Client,
        patience: float,
        files: Sequence[tuple[DataFile, str]],
        there: Mapping[str, ObjectInfo],
    ) -> None:
        self._session = _session_of(client, patience)
        payer = getattr(client._credentials, "quota_project_id", None)
        self._headers = {"X-Goog-User-Project": payer} if payer else {}
        self._boundary = secrets.token_hex(16).encode()
        """Between the parts of requests: no file can hold it by chance."""
        self._there = there
        items = [Item(file, *uri.removeprefix("gs://").split("/", 1)) for file, uri in files]
        large = (item for item in items if item.file.size > SMALL)
        self._large = deque(sorted(large, key=lambda item: -item.file.size))
        self._small = deque(item for item in items if item.file.size <= SMALL)
        self._crew = Crew("data-upload", most=MOST_SMALL + MOST_LARGE, cores=1)
        self._counts: list[list[int]] = []

    def run(self, report: Report | None) -> int:
        """How many files were sent.

        :raises StoreError: the service failed or refused.
        :raises InfrastructureError: a file has changed since it was listed.
        """

        def tick() -> None:
            if report:
                report(sum(counts[0] for counts in self._counts), sum(counts[1] for counts in self._counts))

        first = [self._send_large] * min(MOST_LARGE, len(self._large)) + [self._send_small] * min(FEW, len(self._small))
        try:
            self._crew.run(first, lambda: self._send_small if self._small else None, tick)
        finally:
            self._session.close()
        tick()
        return sum(counts[2] for counts in self._counts)

    def _send_large(self) -> None:
        self._work(self._large)

    def _send_small(self) -> None:
        self._work(self._small)

    def _work(self, items: deque[Item]) -> None:
        counts = [0, 0, 0]
        self._counts.append(counts)
        while not self._crew.stopped.is_set():
            try:
                item = items.popleft()
            except IndexError:
                return
            before = counts[1]
            try:
                with _explained(item.uri):
                    counts[2] += self._store(item, partial(self._seen, counts, before))
            except _Stopped:
                return
            counts[0] += 1
            counts[1] = before + item.file.size

    def _seen(self, counts: list[int], before: int, at: int) -> None:
        if self._crew.stopped.is_set():
            raise _Stopped
        counts[1] = before + at

    def _store(self, item: Item, seen: Seen) -> bool:
        """False when nothing had to be sent."""
        known = self._there.get(item.uri)
        if known is not None and self._equals(item, known.size, known.crc32c, seen):
            return False
        reply = self._send(item, _ABSENT, seen)
        if reply.status == 412:
            if self._is_there(item, seen):
                return True
            reply = self._send(item, {}, seen)
        if reply.status not in (200, 201):
            raise refused("write", item.uri, reply.status, _message(reply))
        return True

    def _send(self, item: Item, query: dict[str, str], seen: Seen) -> Reply:
        if item.file.size > WHOLE:
            return StreamedUpload(self._session, self._headers, item.file, item.bucket, item.name).run(query, seen)
        import google_crc32c

        with OpenData(item.file) as file:
            data = file.read()
        told = urlencode({"uploadType": "multipart", "fields": "generation", **query})
        attributes = json.dumps({"name": item.name, "crc32c": checksum_text(google_crc32c.value(data))}).encode()
        head = _HEAD % (self._boundary, attributes, self._boundary)
        body = b"".join((head, data, b"\r\n--%b--\r\n" % self._boundary))
        parts = {"Content-Type": f"multipart/related; boundary={self._boundary.decode()}"}
        target = f"/upload/storage/v1/b/{quote(item.bucket)}/o?{told}"
        return self._session.request("POST", target, body=body, headers={**self._headers, **parts})

    def _is_there(self, item: Item, seen: Seen) -> bool:
        """Whether what is there equals the file: an earlier try of ours arrived, or somebody else was faster."""
        query = urlencode({"fields": "size,crc32c"})
        target = f"/storage/v1/b/{quote(item.bucket)}/o/{quote(item.name, safe='')}?{query}"
        reply = self._session.request("GET", target, headers=self._headers)
        if reply.status != 200:
            return False  # what is wrong shows in the next request
        found = json.loads(reply.data)
        return self._equals(item, int(found["size"]), found.get("crc32c", ""), seen)

    def _equals(self, item: Item, size: int, crc32c: str, seen: Seen) -> bool:
        return size == item.file.size and crc32c in ("", checksum_of(item.file, seen))


class _Stopped(Exception):
    """Another thread has failed."""


class _Tokens:
    """Access tokens of the library's credentials, fetched by one thread at a time."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._refused = ""
        self._lock = threading.Lock()

    def get(self) -> str:
        from google.auth.transport.requests import Request

        with self._lock:
            if not self._credentials.valid or self._credentials.token == self._refused:
                self._credentials.refresh(Request())
            return str(self._credentials.token)

    def forget(self, text: str) -> None:
        self._refused = text


def _session_of(client: Any, patience: float) -> Session:
    """With the address, the identity and the certificates that the library's client would use."""
    import certifi
    from google.auth.credentials import AnonymousCredentials

    base, credentials = client.api_endpoint, client._credentials
    if isinstance(credentials, AnonymousCredentials):
        return Session({"STORAGE_EMULATOR_HOST": base}, patience)
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    tls = ssl.create_default_context(cafile=authorities)
    return Session({"API_ENDPOINT_OVERRIDE": base}, patience, tokens=_Tokens(credentials), tls=tls)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Errors of the network as ``StoreError``; those of the file are the user's already."""
    with explained("write", uri):
        try:
            yield
        except GcsError as error:
            raise away("write", uri, error) from error


def _message(reply: Reply) -> str:
    text = reply.data.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text
