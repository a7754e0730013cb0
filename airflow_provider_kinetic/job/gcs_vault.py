"""Checkpoints in Cloud Storage: sent once, copied by the service, deleted many at a time."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_kinetic.job.gcs import (
    _TRIES,
    RESUMABLE,
    GcsStorage,
    Upload,
    _bucket_missing,
    _error,
    _object,
    _split,
    _uploads,
    turn,
)
from airflow_provider_kinetic.job.gcs_http import BLOCK, FAILURES, GcsError, Reply, Session
from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.job.vaults import Hashed, Sent, Take

THREADS = 16


@functools.lru_cache(maxsize=1)
def vault() -> GcsVault:
    """One for the process: connections and token are shared."""
    return GcsVault(Session(os.environ))


class GcsVault(GcsStorage):
    """A version is an object's generation."""

    def send(self, path: Path, uri: str) -> Sent:
        """Sending twice is harmless, so there is no precondition and no digest to be known before.

        No file is held in memory: a block of it is, for each thread that sends.
        """
        size, name = path.stat().st_size, _split(uri)[1]
        hashed = Hashed(path, size)
        if size <= RESUMABLE:
            target = _uploads(uri, {"uploadType": "media", "name": name})
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            reply = self._session.request("POST", target, body=hashed.open, headers=headers)
        else:
            reply = Upload(self._session, hashed.as_path(), size, uri).run({"name": name}, {})
        made = self._made("write", uri, reply)
        if int(made["size"]) != size:
            raise GcsError(f"Cannot write {uri}: {made['size']} of {size} bytes arrived")
        return Sent(hashed.digest, made["generation"])

    def fetch(self, uri: str, start: int, count: int, take: Take) -> int:
        """Continued where the connection broke. Nothing is compared here: who asks knows the digest."""
        if not count:
            return self._size(uri)
        block, at, end = memoryview(bytearray(min(count, BLOCK // 2))), start, start + count
        size, tries = 0, _TRIES
        while at < end and tries:
            reply = self._request_part(uri, at, end)
            if reply.status == 416:
                return 0  # it is shorter than that
            size, before = int(reply.headers["Content-Range"].rpartition("/")[2]), at
            with contextlib.closing(reply):
                while at < end and (length := _receive(reply, block[: end - at])):
                    take(block[:length])
                    at += length
            tries = _TRIES if at > before else tries - 1
        if at < end:
            raise GcsError(f"Cannot read {uri}: the connection broke off {_TRIES} times after {at} bytes")
        return size

    def _request_part(self, uri: str, start: int, end: int) -> Reply:
        target, headers = _object(uri, {"alt": "media"}), {"Range": f"bytes={start}-{end - 1}"}
        reply = self._session.request("GET", target, headers=headers, streamed=True)
        if reply.status == 404 and not _bucket_missing(reply):
            raise ObjectMissing(uri)
        if reply.status not in (206, 416):
            raise _error("read", uri, reply)
        return reply

    def _size(self, uri: str) -> int:
        found = self.entry(uri)
        if found is None:
            raise ObjectMissing(uri)
        return found.size

    def copy(self, source: str, target: str, version: str) -> str | None:
        return self._rewrite(source, target, {"ifSourceGenerationMatch": version})

    def renew(self, uri: str) -> None:
        """A new generation of the same bytes; its age begins anew [to be confirmed on the real service].

        Of what is deleted or overwritten meanwhile nothing comes back.
        """
        reply = self._session.request("GET", _object(uri, {"fields": "generation"}))
        if reply.status == 404 and not _bucket_missing(reply):
            return
        found = self._made("look at", uri, reply)["generation"]
        self._rewrite(uri, uri, {"ifSourceGenerationMatch": found, "ifGenerationMatch": found})

    def _rewrite(self, source: str, target: str, query: dict[str, str]) -> str | None:
        bucket, name = _split(target)
        path = _object(source, {}).rstrip("?") + f"/rewriteTo/b/{quote(bucket)}/o/{quote(name, safe='')}"
        while True:
            reply = self._session.request("POST", f"{path}?{urlencode(query)}")
            if reply.status in (404, 412) and not _bucket_missing(reply):
                return None
            progress = self._made("copy", source, reply)
            if progress["done"]:
                return str(progress["resource"]["generation"])
            query["rewriteToken"] = progress["rewriteToken"]

    def tail(self, uri: str, start: int) -> bytes:
        """Of an object that only grows. The service's digest is of the whole and cannot be compared."""
        target, headers = _object(uri, {"alt": "media"}), {"Range": f"bytes={start}-"}
        reply = self._session.request("GET", target, headers=headers)
        if reply.status == 404 and not _bucket_missing(reply):
            raise ObjectMissing(uri)
        if reply.status == 416:
            return b""
        if reply.status not in (200, 206):
            raise _error("read", uri, reply)
        return reply.data if reply.status == 206 else reply.data[start:]

    def folders(self, folder: str) -> list[str]:
        bucket, stem = _split(f"{folder}/")
        query = {"prefix": stem, "delimiter": "/", "fields": "prefixes,nextPageToken"}
        found: list[str] = []
        while True:
            target = f"/storage/v1/b/{quote(bucket)}/o?{urlencode(query)}"
            page = self._made("list", folder, self._session.request("GET", target))
            found += [prefix[len(stem) :].rstrip("/") for prefix in page.get("prefixes", [])]
            if "nextPageToken" not in page:
                return found
            turn(query, "pageToken", page["nextPageToken"], folder)

    def delete(self, uri: str) -> None:
        reply = self._session.request("DELETE", _object(uri, {}))
        if reply.status not in (200, 204, 404):
            raise _error("delete", uri, reply)

    def delete_tree(self, folder: str) -> None:
        uris = self.list(f"{folder}/")
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self.delete, uris))
        except RuntimeError:  # the interpreter ends: no thread begins any more
            for uri in uris:
                self.delete(uri)

    def _made(self, verb: str, uri: str, reply: Reply) -> dict[str, Any]:
        if reply.status not in (200, 201):
            raise _error(verb, uri, reply)
        made: dict[str, Any] = json.loads(reply.data)
        return made


def _receive(reply: Reply, block: memoryview) -> int:
    try:
        return reply.readinto(block)
    except FAILURES:
        return 0
