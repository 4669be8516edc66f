"""What something cost in processor time, which does not depend on what else the machine does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import asyncpg
import psutil


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """What processes have used so far, and those of their children that have ended."""
    total = 0.0
    for process in processes:
        # One that has ended meanwhile is counted by its parent.
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


async def servers_of(connection: asyncpg.Connection[asyncpg.Record]) -> list[psutil.Process]:
    """This process, in which tests serve, and PostgreSQL's that a connection is of."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    postmaster = psutil.Process(pid).parent()
    assert postmaster is not None
    return [psutil.Process(), postmaster, *postmaster.children()]
