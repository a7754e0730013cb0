"""Which process this is, as far as it is said, and what fits together of what several say."""

from __future__ import annotations

import json

import pytest

from airflow_provider_kinetic.job.training.hosts import Host, find_host
from airflow_provider_kinetic.job.training.manifests import File
from airflow_provider_kinetic.job.training.sharding import Part, merged_files, merged_metadata
from airflow_provider_kinetic.model.errors import UnsupportedParameter

RANK = {"RANK": "3", "WORLD_SIZE": "8"}
TPU = {"TPU_WORKER_ID": "1", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}
LWS = {"LWS_WORKER_INDEX": "2", "LWS_GROUP_SIZE": "5"}


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, (0, 1)),
        ({**RANK, **TPU, **LWS, "JOB_COMPLETION_INDEX": "1"}, (3, 8)),
        ({**TPU, **LWS, "JOB_COMPLETION_INDEX": "3"}, (1, 4)),
        ({**TPU, "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"}, (5, 8)),
        ({**TPU, "MEGASCALE_NUM_SLICES": "4"}, (1, 4)),
        (LWS, (2, 5)),
        ({**LWS, "TPU_WORKER_ID": "$(LWS_WORKER_INDEX)"}, (2, 5)),
        ({**LWS, "TPU_WORKER_ID": "2", "MEGASCALE_NUM_SLICES": "5"}, (2, 5)),
        ({**LWS, "LWS_WORKER_INDEX": "0", "TPU_WORKER_ID": "0"}, (0, 5)),
        ({"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost"}, (0, 1)),
        ({"TPU_WORKER_ID": "0"}, (0, 1)),
        ({"JOB_COMPLETION_INDEX": "0"}, (0, 1)),
        ({"LWS_GROUP_SIZE": "4", "WORLD_SIZE": "4"}, (0, 1)),
    ],
)
def test_the_environment_says_which_process_this_is(environ, host):
    assert find_host(environ=environ) == Host(*host)


@pytest.mark.parametrize(
    ("process", "processes", "host"), [(2, 4, (2, 4)), (0, 4, (0, 4)), (0, None, (0, 1)), (None, 1, (0, 1))]
)
def test_what_is_given_counts_more_than_the_environment(process, processes, host):
    assert find_host(process, processes, RANK) == Host(*host)


@pytest.mark.parametrize(
    ("process", "processes", "environ"),
    [
        (4, 4, {}),
        (-1, 4, {}),
        (0, 0, {}),
        (3, None, {}),
        (None, 4, {"RANK": "3", "WORLD_SIZE": "4"}),
        (None, None, {"JOB_COMPLETION_INDEX": "2"}),
        (None, None, {"TPU_WORKER_ID": "1"}),
        (None, None, {"RANK": "2", "WORLD_SIZE": "2"}),
    ],
)
def test_a_process_that_is_none_of_them_is_refused(process, processes, environ):
    with pytest.raises(UnsupportedParameter, match="process=, processes="):
        find_host(process, processes, environ)


def file(path, content, process=0, version="1"):
    return File(path, len(content), content, content, version, process)


def part(process, *files, **metadata):
    return Part(process, files, metadata)


def test_equal_files_are_kept_once_as_the_one_that_was_stored_last():
    parts = [part(0, file("a", "x", 0, "9")), part(1, file("a", "x", 1, "10"), file("b/c", "y", 1))]
    assert merged_files(parts) == [file("a", "x", 1, "10"), file("b/c", "y", 1)]


def test_different_files_of_one_path_are_refused():
    with pytest.raises(ValueError, match=r"'a/b' of process 1 is not that of process 2: nothing is saved"):
        merged_files([part(1, file("a/b", "x", 1)), part(2, file("a/b", "y", 2))])


def test_a_file_that_is_a_folder_elsewhere_is_refused():
    with pytest.raises(ValueError, match="also a folder"):
        merged_files([part(0, file("a", "x")), part(1, file("a/b", "y", 1))])


def test_metadata_are_merged_leaf_by_leaf():
    parts = [part(0, loss=1, at={"seed": 1, "x": [1]}), part(1, at={"seed": 1, "y": "NaN"}), part(2, loss=1)]
    assert merged_metadata(parts) == {"loss": 1, "at": {"seed": 1, "x": [1], "y": "NaN"}}


@pytest.mark.parametrize("other", [{"seed": 2}, 3, {"seed": {"deep": 1}}])
def test_metadata_that_differ_are_refused(other):
    with pytest.raises(ValueError, match=r"metadata 'at.*' is .* on process 1 and .* on process 2: nothing is saved"):
        merged_metadata([part(1, at={"seed": 1}), part(2, at=other)])


def test_a_part_passes_the_store():
    made = part(3, file("ünï #", "x", 3), loss="NaN")
    record = json.loads(made.encode("mine"))
    assert record["nonce"] == "mine"
    assert Part.decode(3, record) == Part(3, list(made.files), made.metadata)
    with pytest.raises(RuntimeError, match="process 3 could not save its part: disk"):
        Part.decode(3, {"nonce": "mine", "error": "disk"})
