"""TensorBoard's event files, read strictly: every length, checksum and field must be as the format says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple


class Event(NamedTuple):
    """``values`` is empty and ``version`` is not, or the other way round."""

    time: float
    step: int
    version: str
    values: dict[str, float]


def read_events(data: bytes) -> list[Event]:
    """:raises AssertionError: it is not such a file."""
    return [_event(record) for record in _records(data)]


def _records(data: bytes) -> Iterator[bytes]:
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert len(data) >= 16 + length, "cut off"
        assert _sum(data[8:12]) == masked(data[:8])
        record, rest = data[12 : 12 + length], data[12 + length :]
        assert _sum(rest[:4]) == masked(record)
        yield record
        data = rest[4:]


def _sum(data: bytes) -> int:
    return int(struct.unpack("<I", data)[0])


def masked(data: bytes) -> int:
    """Bit by bit, not as the product does it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _event(record: bytes) -> Event:
    fields = dict(_fields(record))
    assert set(fields) <= {1, 2, 3, 5}
    values = {}
    for number, value in _fields(fields.get(5, b"")):
        assert number == 1
        parts = dict(_fields(value))
        assert set(parts) == {1, 2}
        name = parts[1].decode()
        assert name not in values
        (values[name],) = struct.unpack("<f", parts[2])
    (time,) = struct.unpack("<d", fields[1])
    step = fields.get(2, 0)
    return Event(time, step - (1 << 64) if step >> 63 else step, fields.get(3, b"").decode(), values)


def _fields(data: bytes) -> Iterator[tuple[int, object]]:
    while data:
        key, data = _varint(data)
        kind = key & 7
        if kind == 0:
            value, data = _varint(data)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            assert kind == 2
            size, data = _varint(data)
        assert len(data) >= size
        yield key >> 3, data[:size]
        data = data[size:]


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, data[index + 1 :]
    raise AssertionError("no end of a number")
