"""Notices a transaction pooler that nobody has told of.

A session's statements are prepared by names that are unique in one process only. Behind a transaction pooler, which
gives each transaction another server connection, one process would run what another has prepared by the same name.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Literal

from taskward.storage.dsn import Address, AddressError
from taskward.storage.pool import Connection, connect

# A hot standby refuses everything in one that is serializable, which may be its default.
_LEVEL: Literal["read_committed"] = "read_committed"
_ATTEMPTS = 3  # other clients of a busy pooler can make one come out wrong
_PATIENCE = 2.0  # seconds; where the pooler has a single connection, the second transaction waits for the first


async def refuse_hidden_pooler(address: Address) -> None:
    """Make sure that an address which is only taken for a server's own, by its looks, is not a transaction pooler's.

    Raises:
        AddressError: It is.
        Exception: What asyncpg raised when it cannot connect.
    """
    if not address.assumed_direct:
        return
    async with AsyncExitStack() as stack:
        # As to a pooler, so that nothing is prepared by name.
        cautious = replace(address, pooled=True)
        probe = await connect(cautious)
        stack.callback(probe.terminate)
        # A pooler makes up a pid of its own. So does a proxy that leaves a session on its connection, which will do.
        if await _server_pid(probe) == probe.get_server_pid():
            return
        other = await connect(cautious)
        stack.callback(other.terminate)
        for _ in range(_ATTEMPTS):
            if await _moves(probe, other):
                raise AddressError(
                    "DATABASE_URL leads to a pooler that gives each transaction another connection; "
                    "set TASKWARD_POOLED=on."
                )


async def _moves(probe: Connection, other: Connection) -> bool:
    """Tell whether a session goes on elsewhere, or nowhere, while another session's transaction is open."""
    before = await _server_pid(probe)
    async with other.transaction(isolation=_LEVEL):
        # What was free last is usually taken first: the connection that the probe has just used.
        await _server_pid(other)
        asking = asyncio.create_task(_server_pid(probe))
        await asyncio.wait({asking}, timeout=_PATIENCE)
        if asking.done():
            return asking.result() != before
        # Not cancelled as it is: that would send a request to cancel, of which PgBouncer 1.18 dies.
        probe.terminate()
        await asyncio.wait({asking})
        asking.exception()
        return True


async def _server_pid(connection: Connection) -> int:
    async with connection.transaction(isolation=_LEVEL):
        return int(await connection.fetchval("SELECT pg_catalog.pg_backend_pid()"))
