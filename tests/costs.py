"""What something cost in processor time, which does not depend on what else the machine does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import asyncpg
import psutil

_NUMBERS = range(30_000)
_YARDSTICK_SECONDS = 0.004
"""What `_yardstick` takes where the bounds were set."""


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """What processes have used so far, and those of their children that have ended."""
    total = 0.0
    for process in processes:
        # One that has ended meanwhile is counted by its parent.
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def allowed(seconds: float) -> float:
    """A bound of processor time on the machine on which it was set, as it is here and now: a shared machine may be a
    third as fast for minutes, and then whatever runs on it takes three times as long.
    """
    return seconds * max(1.0, min(_yardstick() for _ in range(5)) / _YARDSTICK_SECONDS)


def _yardstick() -> float:
    began = time.process_time()
    # One call, so that it takes no longer where coverage is measured.
    sum(map(int.__mul__, _NUMBERS, _NUMBERS))
    return time.process_time() - began


async def servers_of(connection: asyncpg.Connection[asyncpg.Record]) -> list[psutil.Process]:
    """This process, in which tests serve, and PostgreSQL's that a connection is of."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    postmaster = psutil.Process(pid).parent()
    assert postmaster is not None
    return [psutil.Process(), postmaster, *postmaster.children()]
