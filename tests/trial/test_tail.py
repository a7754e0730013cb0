"""The end of an object that grows, the same of files and of Cloud Storage."""

from __future__ import annotations

import pytest
from checkpoint_files import IN_CLOUD_STORAGE

from airflow_provider_kinetic.job.storage import ObjectMissing
from airflow_provider_kinetic.job.vaults import below


@pytest.mark.parametrize(("start", "rest"), [(0, b"abc"), (1, b"bc"), (3, b""), (9, b"")])
def test_only_what_is_new_is_read(place, start, rest):
    uri = below(place.uri, "a/ü #?%.jsonl")
    place.vault.write(uri, b"abc")
    assert place.vault.tail(uri, start) == rest


def test_of_an_empty_object_nothing(place):
    place.vault.write(below(place.uri, "a"), b"")
    assert place.vault.tail(below(place.uri, "a"), 0) == b""


@pytest.mark.parametrize("start", [0, 5])
def test_what_is_not_there_is_missing(place, start):
    with pytest.raises(ObjectMissing):
        place.vault.tail(below(place.uri, "a"), start)


@IN_CLOUD_STORAGE
def test_a_refusal_says_what_was_asked_for(place, gcs):
    place.vault.write(below(place.uri, "a"), b"abc")
    gcs.fail("download", status=403)
    with pytest.raises(OSError, match="Cannot read gs://"):
        place.vault.tail(below(place.uri, "a"), 1)
