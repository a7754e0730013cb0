"""Connections that were opened are closed, whenever whoever opened them is stopped."""

from __future__ import annotations

import asyncio

from airflow_provider_kinetic.clusters.access import Access
from airflow_provider_kinetic.clusters.clients import async_client


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
