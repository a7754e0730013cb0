"""Connections that were opened are closed, whenever whoever opened them is stopped."""

from __future__ import annotations

import asyncio

import httpx

from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.clients import async_client
from airflow_provider_kinetic.clusters.watch_stream import TURN, lines


def test_a_connection_whose_handshake_is_cancelled_is_closed():
    """httpx leaves it to the garbage collector, and the server holds it until then."""

    async def scenario():
        begun, ended = asyncio.Event(), asyncio.Event()

        async def never_answer(reader, writer):
            await reader.read(1)
            begun.set()
            while await reader.read(1000):
                pass
            ended.set()
            writer.close()

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, async_client(Access(f"https://127.0.0.1:{port}", "anybody", verify=False)) as client:
            asking = asyncio.create_task(client.get("/"))
            await begun.wait()
            asking.cancel()
            await asyncio.wait([asking])
            await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(scenario())


def test_a_stream_that_is_left_between_two_chunks_is_closed_by_whoever_read_it():
    """Left to the garbage collector it would be closed by a task of its own, some time later."""
    closed_by: list[asyncio.Task[object] | None] = []

    class Flood(httpx.Response):
        async def aiter_raw(self, *_):
            try:
                await asyncio.sleep(2 * TURN)
                yield b"one\n"  # after which others have their turn
                raise AssertionError("it was left")
            finally:
                closed_by.append(asyncio.current_task())

    async def scenario():
        begun = asyncio.Event()

        async def read():
            async for _ in lines(Flood(200)):
                begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert closed_by == [reading]

    asyncio.run(scenario())
