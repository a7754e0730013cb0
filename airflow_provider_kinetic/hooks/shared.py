"""Ports that all triggers of an event loop share.

A triggerer starts a thousand triggers at once; if each looked up its connection, parsed its credentials and opened its
clients, the triggers of everybody else would wait for that. The first one opens, in a thread, the others wait for it.
What was opened is used for a while and then opened anew, so that a connection which was changed is noticed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.handle import JobHandle

LIFETIME = 600.0
"""Seconds for which ports are handed out."""

_Key = tuple[asyncio.AbstractEventLoop, str | None, tuple[Any, ...]]
_opened: dict[_Key, asyncio.Task[Ports]] = {}


async def shared_ports(handle: JobHandle, kinetic_conn_id: str) -> Ports:
    """The ports through which the job is reached.

    :raises KineticError: the connection is missing or wrong. The next call tries again.
    """
    return await _shared(kinetic_conn_id, _place(handle), lambda: _open(handle, kinetic_conn_id))


async def ports_of(kinetic_conn_id: str, overrides: Mapping[str, Any]) -> Ports:
    """The ports of a connection, with fields that a task gave itself.

    :raises KineticError: the connection is missing or wrong. The next call tries again.
    """

    def opened() -> Ports:
        from airflow_provider_kinetic.hooks.kinetic import KineticHook

        return KineticHook(kinetic_conn_id, overrides=overrides).ports

    return await _shared(kinetic_conn_id, (json.dumps(overrides, sort_keys=True),), opened)


async def _shared(kinetic_conn_id: str, place: tuple[Any, ...], opened: Callable[[], Ports]) -> Ports:
    loop = asyncio.get_running_loop()
    key = (loop, kinetic_conn_id, place)
    if key not in _opened:
        for closed in [other for other in _opened if other[0].is_closed()]:
            del _opened[closed]
        _opened[key] = task = loop.create_task(asyncio.to_thread(opened))
        task.add_done_callback(lambda done: _keep(key, done))
    return await asyncio.shield(_opened[key])


def _place(handle: JobHandle) -> tuple[str | None, ...]:
    """All of a handle that decides where it points."""
    return (
        handle.platform,
        handle.root,
        handle.output_root,
        handle.cluster_uri,
        handle.project,
        handle.zone,
        handle.cluster_name,
        handle.namespace,
    )


def _open(handle: JobHandle, kinetic_conn_id: str) -> Ports:
    from airflow_provider_kinetic.hooks.kinetic import KineticHook

    return KineticHook.of(handle, kinetic_conn_id).ports


def _keep(key: _Key, done: asyncio.Task[Ports]) -> None:
    if done.cancelled() or done.exception() is not None:
        _opened.pop(key, None)
    else:
        key[0].call_later(LIFETIME, _opened.pop, key, None)
