"""The digest of a file is the same however its bytes are cut on their way, and of no other bytes."""

from __future__ import annotations

import shutil
import subprocess
from hashlib import sha256

import pytest
from checkpoint_files import noise
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.digests import BLOCK, Blocks, composite, of_bytes, of_file

SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK]
LARGE = noise("digests", 3 * BLOCK + 7)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_made_of_the_digests_of_blocks(tmp_path, size):
    content = LARGE[:size]
    blocks = [content[start : start + BLOCK] for start in range(0, size, BLOCK)]
    expected = sha256(b"".join(sha256(block).digest() for block in blocks)).hexdigest()
    (tmp_path / "file").write_bytes(content)
    assert of_bytes(content) == of_file(tmp_path / "file") == expected


@given(cuts=st.lists(st.integers(0, len(LARGE)), max_size=12).map(sorted))
def test_it_does_not_depend_on_how_a_stream_is_cut(cuts):
    blocks = Blocks()
    for start, end in zip([0, *cuts], [*cuts, len(LARGE)], strict=True):
        blocks.update(memoryview(LARGE)[start:end])
    assert composite([blocks.digests]) == of_bytes(LARGE)


@given(at=st.integers(0, len(LARGE) - 1))
def test_no_byte_is_left_out(at):
    changed = bytearray(LARGE)
    changed[at] ^= 1
    assert of_bytes(changed) != of_bytes(LARGE)


def test_parts_that_begin_with_a_block_give_the_digest_of_the_whole():
    parts = []
    for start in range(0, len(LARGE), 2 * BLOCK):
        blocks = Blocks()
        blocks.update(LARGE[start : start + 2 * BLOCK])
        parts.append(blocks.digests)
    assert composite(parts) == of_bytes(LARGE)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_the_command_of_its_description(tmp_path):
    (tmp_path / "FILE").write_bytes(LARGE)
    command = "split --bytes=1M --filter='openssl dgst -sha256 -binary' FILE | sha256sum"
    said = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == of_bytes(LARGE)
