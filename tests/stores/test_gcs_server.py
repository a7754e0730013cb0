"""The Cloud Storage of the tests answers Google's own client as the real one does, and admits what it does not know."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from gcs_server import GcsServer
from google.api_core.exceptions import BadRequest, MethodNotImplemented, NotFound, PreconditionFailed
from google.api_core.exceptions import RequestRangeNotSatisfiable as OutOfRange
from google.cloud.storage import Bucket, Client


@pytest.fixture
def bucket(gcs: GcsServer) -> Iterator[Bucket]:
    client = Client(client_options={"api_endpoint": gcs.url})
    yield client.bucket("tests")
    client.close()


def names(bucket: Bucket, **query: object) -> tuple[list[str], list[str]]:
    listing = bucket.list_blobs(**query)
    found = [blob.name for blob in listing]
    return found, sorted(listing.prefixes)


@pytest.mark.parametrize("page", [1, 2, 100])
def test_listings_by_folder_offset_and_page(gcs: GcsServer, bucket: Bucket, page: int) -> None:
    gcs.page_limit = page
    for name in ("a", "b/1", "b/2", "b/c/3", "d"):
        bucket.blob(name).upload_from_string(b"")
    assert names(bucket) == (["a", "b/1", "b/2", "b/c/3", "d"], [])
    assert names(bucket, delimiter="/") == (["a", "d"], ["b/"])
    assert names(bucket, prefix="b/", delimiter="/") == (["b/1", "b/2"], ["b/c/"])
    assert names(bucket, start_offset="b/2", end_offset="d") == (["b/2", "b/c/3"], [])


def test_generations_decide(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation
    blob.upload_from_string(b"2", if_generation_match=first)
    for call in (
        lambda: blob.upload_from_string(b"3", if_generation_match=first),
        lambda: blob.delete(if_generation_match=first),
        lambda: bucket.copy_blob(blob, bucket, "b", if_source_generation_match=first),
        lambda: bucket.copy_blob(blob, bucket, "a", if_generation_match=0),
    ):
        with pytest.raises(PreconditionFailed):
            call()
    with pytest.raises(NotFound):
        bucket.blob("a", generation=first).reload()
    assert blob.download_as_bytes() == b"2"


def test_ranges(bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"0123456789")
    assert bucket.blob("a").download_as_bytes(start=2, end=4) == b"234"
    assert bucket.blob("a").download_as_bytes(start=8, end=100) == b"89"
    with pytest.raises(OutOfRange):
        bucket.blob("a").download_as_bytes(start=10)


def test_metadata_has_generations_of_its_own(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"1")
    generation, metageneration = blob.generation, blob.metageneration
    blob.metadata = {"k": "w"}
    blob.patch()
    assert (blob.generation, blob.metageneration) == (generation, metageneration + 1)
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=metageneration)


def test_composed_objects_have_no_md5(bucket: Bucket) -> None:
    for name in ("1", "2"):
        bucket.blob(name).upload_from_string(name)
    whole = bucket.blob("12")
    whole.compose([bucket.blob("1"), bucket.blob("2")], if_generation_match=0)
    whole.reload()
    assert whole.md5_hash is None
    assert whole.download_as_bytes() == b"12"


def test_wrong_checksums_are_refused(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(BadRequest):
        blob.upload_from_string(b"1")
    assert names(bucket) == ([], [])


def test_what_it_does_not_know_is_remembered(gcs: GcsServer, bucket: Bucket) -> None:
    with pytest.raises(MethodNotImplemented):
        bucket.get_iam_policy()
    with pytest.raises(MethodNotImplemented):
        list(bucket.list_blobs(versions=True))
    assert len(gcs.unknown) == 2
    gcs.unknown.clear()


def test_what_gcsfs_and_tensorstore_ask_for(gcs: GcsServer) -> None:
    """Chunks by POST, a move, and only what is not known yet."""
    place = f"{gcs.url}/upload/storage/v1/b/tests/o"
    began = httpx.post(place, params={"uploadType": "resumable", "name": "draft"}, json={})
    sent = httpx.post(began.headers["Location"], content=b"12345", headers={"Content-Range": "bytes 0-4/5"})
    assert sent.json()["size"] == "5"
    at = f"{gcs.url}/storage/v1/b/tests/o"
    moved = httpx.post(f"{at}/draft/moveTo/o/final").json()
    assert gcs.buckets["tests"].names() == ["final"]
    again = httpx.get(f"{at}/final", params={"alt": "media", "ifGenerationNotMatch": moved["generation"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{at}/final", params={"alt": "media", "ifGenerationNotMatch": "0"}).content == b"12345"
    assert gcs.unknown == []
