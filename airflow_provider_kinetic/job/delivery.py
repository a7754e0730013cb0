"""The result's way to the store: written once, hashed on the way, created and never replaced.

A result that is there is final. A machine that was believed dead may come back, and a start may find
that an earlier one had finished: both adopt what is stored, so a job has one outcome (``design`` 3.1).
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_kinetic.job import phases, protocol
from airflow_provider_kinetic.job.outcome import Outcome, describe
from airflow_provider_kinetic.job.phases import Progress
from airflow_provider_kinetic.job.plain import in_json
from airflow_provider_kinetic.job.report import FAILURE, SUCCESS, Report
from airflow_provider_kinetic.job.request import Request
from airflow_provider_kinetic.job.storage import ObjectExists, ObjectMissing, open_storage

Dump = Callable[[Any, Any], None]

BLOCK = 1024 * 1024


class HashingWriter:
    """A binary file that knows size and SHA-256 of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._digest.update(view)
            self._file.write(view)
            self._size += view.nbytes
            return view.nbytes

    def facts(self) -> dict[str, Any]:
        return {"sha256": self._digest.hexdigest(), "size": self._size}


def deliver(outcome: Outcome, request: Request, folder: Path, progress: Progress, dump: Dump) -> Report:
    """Write and store the outcome of this host. ``dump`` is ``cloudpickle.dump`` where there may be user types."""
    if outcome.success and request.host_index > 0:
        return Report(SUCCESS, phases.EXECUTE, protocol.EXIT_OK)
    progress.enter(phases.SERIALIZATION)
    outcome = outcome.redacted(os.environ)
    outcome, text = _as_json(outcome) if _wants_json(request) else (outcome, b"")
    path = folder / protocol.RESULT
    outcome, facts = _write(outcome, request.host_index, path, dump)
    progress.enter(phases.UPLOAD)
    objects = {request.own_result_uri.rpartition("/")[2]: {**facts, **outcome.kind()}}
    try:
        if _wants_json(request):
            open_storage(request.json_uri).write(request.json_uri, text, if_absent=True)
            facts = {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
            objects[protocol.RESULT_JSON] = {**facts, **outcome.kind()}
        open_storage(request.own_result_uri).upload(path, request.own_result_uri, if_absent=True)
    except Exception as error:
        stored = adopt(request) if isinstance(error, ObjectExists) else None
        if stored is not None:
            return stored
        reason = f"The result could not be stored at {request.own_result_uri}: {describe(error)}"
        return Report(FAILURE, phases.UPLOAD, protocol.EXIT_FAILED, reason=reason, error=_error(error))
    return _report(outcome, objects)


def adopt(request: Request) -> Report | None:
    """The outcome that the store already holds for this host; None when there is none.

    Nothing is unpickled: the outcome is read off the stream, which begins with the key ``success``.
    """
    success, objects = None, {}
    readers: dict[str, Callable[[BinaryIO], bool | None]] = {request.own_result_uri: _pickled_success}
    if _wants_json(request):
        readers[request.json_uri] = _json_success
    for uri, read in readers.items():
        try:
            with open_storage(uri).open(uri) as stream:
                success = read(stream)
            with open_storage(uri).open(uri) as stream:
                objects[uri.rpartition("/")[2]] = _facts(stream)
        except ObjectMissing:
            continue
    if not objects:
        return None
    kind, code = (SUCCESS, protocol.EXIT_OK) if success else (FAILURE, protocol.EXIT_FAILED)
    return Report(kind, phases.EXECUTE, code, objects=objects, reason="the result of an earlier attempt was there")


def _wants_json(request: Request) -> bool:
    return request.result_format == "json" and request.host_index == 0


def _as_json(outcome: Outcome) -> tuple[Outcome, bytes]:
    """The outcome that can be said in JSON, and its text."""
    try:
        return outcome, _json_text(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        fallback = outcome.unserializable(error, 'JSON, which result_format="json" asks for').redacted(os.environ)
        return fallback, _json_text(fallback)


def _json_text(outcome: Outcome) -> bytes:
    """:raises ValueError: also for NaN and infinities, which JSON does not know."""
    error = outcome.error()
    content: dict[str, Any] = {
        "v": protocol.VERSION,
        "success": outcome.success,
        "result": outcome.result,
        "error": None,
    }
    if error is not None:
        content["error"] = {
            "type": error["type"],
            "message": error["text"],
            "traceback": outcome.traceback,
            "phase": outcome.phase,
            **({"kinetic": outcome.own} if outcome.own else {}),
        }
    return json.dumps(content, allow_nan=False, default=in_json).encode()


def _write(outcome: Outcome, host_index: int, path: Path, dump: Dump) -> tuple[Outcome, dict[str, Any]]:
    """Pickle to ``path``; what cannot be pickled is replaced by words."""
    try:
        if outcome.exception is not None:
            _check(outcome.exception, path, dump)
        return outcome, _pickle(outcome, host_index, path, dump)
    except Exception as error:
        fallback = outcome.unserializable(error, "a pickle").redacted(os.environ)
        return fallback, _pickle(fallback, host_index, path, pickle.dump)


def _check(exception: BaseException, path: Path, dump: Dump) -> None:
    """Some exceptions can be written but not read again (their ``__init__`` takes other arguments)."""
    with path.open("wb") as file:
        dump(exception, file)
    with path.open("rb") as file:
        pickle.load(file)


def _pickle(outcome: Outcome, host_index: int, path: Path, dump: Dump) -> dict[str, Any]:
    with path.open("wb") as file:
        writer = HashingWriter(file)
        dump(outcome.payload(host_index), writer)
    return writer.facts()


def _report(outcome: Outcome, objects: dict[str, dict[str, Any]]) -> Report:
    error = outcome.error()
    return Report(
        SUCCESS if outcome.success else FAILURE,
        outcome.phase,
        protocol.EXIT_OK if outcome.success else protocol.EXIT_FAILED,
        objects=objects,
        reason=f"{error['type']}: {error['text']}" if error else "",
        error=error,
    )


def _error(error: BaseException) -> dict[str, str] | None:
    return Outcome(False, exception=error).error()


def _pickled_success(stream: BinaryIO) -> bool | None:
    import pickletools  # rarely needed, and 10 ms of every start

    key_seen = False
    for opcode, argument, _ in pickletools.genops(stream):
        if key_seen and opcode.name in ("NEWTRUE", "NEWFALSE"):
            return opcode.name == "NEWTRUE"
        key_seen = key_seen or argument == "success"
    return None


def _json_success(stream: BinaryIO) -> bool:
    return bool(json.load(stream).get("success"))


def _facts(stream: BinaryIO) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while True:
        block = stream.read(BLOCK)
        if not block:
            return {"sha256": digest.hexdigest(), "size": size}
        digest.update(block)
        size += len(block)
