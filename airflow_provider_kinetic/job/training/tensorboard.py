"""Metrics of a trial as TensorBoard's event files.

Written on demand and not while the training runs: an event file only grows at its end, which an object store cannot do,
so keeping one up to date there means sending all of it again and again (``checkpointing`` 1.5). Every group becomes a
run of its own, so that TensorBoard draws the training and the validation of one metric into one chart. The format is
that of TFRecord around a few fields of the ``Event`` message; nothing of TensorFlow is needed to write it.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from airflow_provider_kinetic.job import protocol
from airflow_provider_kinetic.job.layout import TrialLayout
from airflow_provider_kinetic.job.storage import Storage
from airflow_provider_kinetic.job.training.numbers import as_number
from airflow_provider_kinetic.job.training.series import Row, read_rows
from airflow_provider_kinetic.job.vaults import as_uri, below, open_vault

FILE = "events.out.tfevents.0000000000.kinetic"
"""One name, so that a second export takes the place of the first."""
VERSION = "brain.Event:2"

_POLYNOMIAL = 0x82F63B78
_LENGTH, _TIME, _VALUE = struct.Struct("<Q"), struct.Struct("<d"), struct.Struct("<f")
_SUM = struct.Struct("<I")


def export_tensorboard(
    directory: str | os.PathLike[str], trial: str | os.PathLike[str] | None = None
) -> dict[str, int]:
    """Write the numbers of a trial for TensorBoard, one folder for each group; texts are left out.

    Values are single precision, as TensorBoard's are. What was exported before to the same place is replaced.

    :param directory: a folder or a ``gs://`` URI, made when it is missing.
    :param trial: the output directory to read; else that of this job. A running trial's rows are those that are
        stored: up to ten seconds old.
    :returns: how many values of each group.
    """
    source, target = as_uri(trial or os.environ.get(protocol.ENV_OUTPUT_DIR) or "kinetic-output"), as_uri(directory)
    return write_events(open_vault(target), target, read_rows(open_vault(source), TrialLayout(source)))


def write_events(storage: Storage, target: str, rows: Iterable[Row]) -> dict[str, int]:
    """As :func:`export_tensorboard`, of these rows, below a URI."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    counts = {}
    for group, members in groups.items():
        found = list(events(members))
        counts[group] = sum(count for _, count in found)
        content = _record(_first(members)) + b"".join(record for record, _ in found)
        storage.write(below(target, f"{_folder(group)}/{FILE}"), content)
    return counts


def events(rows: Iterable[Row]) -> Iterator[tuple[bytes, int]]:
    """A record for each row that has numbers, and how many."""
    for row in rows:
        numbers = [(name, number) for name, value in row.values.items() if (number := as_number(value)) is not None]
        if numbers:
            summary = b"".join(_field(1, _scalar(name, number)) for name, number in numbers)
            yield _record(_event(row) + _field(5, summary)), len(numbers)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), which the standard library lacks."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@functools.lru_cache(maxsize=1)
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        return value

    return tuple(entry(value) for value in range(256))


def _record(data: bytes) -> bytes:
    """TFRecord: the length and its checksum, the data and theirs."""
    length = _LENGTH.pack(len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    """Checksums of data that hold checksums themselves are turned and moved a little; so says the format."""
    crc = crc32c(data)
    return _SUM.pack((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _first(rows: list[Row]) -> bytes:
    """Every file begins with the version of its format."""
    return b"\x09" + _TIME.pack(rows[0].time) + _field(3, VERSION.encode())


def _event(row: Row) -> bytes:
    """``wall_time`` and ``step``."""
    return b"\x09" + _TIME.pack(row.time) + b"\x10" + _varint(row.step & 0xFFFFFFFFFFFFFFFF)


def _scalar(name: str, number: float) -> bytes:
    """``tag`` and ``simple_value``."""
    return _field(1, name.encode("utf-8", "replace")) + b"\x15" + _single(number)


def _single(number: float) -> bytes:
    try:
        return _VALUE.pack(number)
    except OverflowError:
        return _VALUE.pack(math.copysign(math.inf, number))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _folder(group: str) -> str:
    """A group's name as that of one folder."""
    name = quote(group.encode("utf-8", "replace"), safe=" ")
    return name if name.strip(".") else name.replace(".", "%2E") or "%20"
