"""A hot standby, on which nothing may be serializable, not even by default: it is read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from bench.cluster import Cluster, temporary
from bench.processes import free_port, stop

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from tests.databases import OLDEST_POSTGRES, connected, execute, opened, read_tasks, write_task

pytestmark = pytest.mark.processes
ALICE = Owner("alice")


@pytest.fixture(scope="module")
def standby(open_folder: Path) -> Iterator[str]:
    """The address of one, of a server on which alice has a task."""
    if not OLDEST_POSTGRES.joinpath("pg_basebackup").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {OLDEST_POSTGRES}")
    folder = open_folder / "standby"
    folder.mkdir()
    with temporary(folder, OLDEST_POSTGRES) as primary:
        asyncio.run(_fill(primary.admin_dsn))
        port = free_port()
        copy = _copy(primary, folder / "postgresql" / "copy", port)
        try:
            parts = urlsplit(primary.admin_dsn)
            login, _, _ = parts.netloc.rpartition("@")
            url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
            asyncio.run(_caught_up(url))
            yield url
        finally:
            stop(copy, gently="SIGINT")


def _copy(primary: Cluster, folder: Path, port: int) -> subprocess.Popen[bytes]:
    owner = folder.parent.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    backup = [str(OLDEST_POSTGRES / "pg_basebackup"), "-d", primary.admin_dsn, "-D", str(folder), "-R", "-c", "fast"]
    subprocess.run(backup, cwd=folder.parent, check=True, timeout=120, **account)  # type: ignore[call-overload]
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "hot_standby": "on"}
    command = [str(OLDEST_POSTGRES / "postgres"), "-D", str(folder)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return subprocess.Popen(command, cwd=folder.parent, stderr=subprocess.DEVNULL, **account)  # type: ignore[call-overload,no-any-return]


async def _fill(url: str) -> None:
    await migrate(parse_address(url))
    async with opened(url) as database:
        await write_task(database, ALICE.user_id)
    await execute(url, "ALTER SYSTEM SET default_transaction_isolation = serializable")


async def _caught_up(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            async with connected(url) as connection:
                assert await connection.fetchval("SHOW default_transaction_isolation") == "serializable"
                break
        except (OSError, asyncpg.CannotConnectNowError):
            assert time.monotonic() < end, "the standby did not start"
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("pooled", ["off", "on", "auto"])
async def test_a_standby_is_read_whatever_its_default_is(standby: str, pooled: str):
    async with opened(standby, pooled=pooled) as database:
        assert await database.problem() is None
        for _ in range(3):
            assert len(await read_tasks(database, ALICE)) == 1
            with pytest.raises(Unavailable):
                await write_task(database, ALICE.user_id)
