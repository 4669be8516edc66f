"""Behind PgBouncer in transaction mode, where each transaction may be on another server connection."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from taskward.database.database import Database
from taskward.database.dsn import parse_address
from taskward.database.migrate import migrate
from taskward.identity import Owner
from taskward.tasks.models import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore
from tests.conftest import connected, name_of, opened, write_task
from tests.test_dsn import dead_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SERVER_CONNECTIONS = 3
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")


@contextmanager
def pooling(url: str) -> Iterator[str]:
    """Run PgBouncer before the database of `url`, as an ordinary user; yields the URL through it."""
    parts = urlsplit(url)
    server = {name: values[0] for name, values in parse_qs(parts.query).items()}
    database, port = name_of(url), dead_port()
    # The server's socket is for its own account only; under root, that is a service account.
    socket = Path(server["host"]).stat()
    account = (socket.st_uid, socket.st_gid) if os.geteuid() == 0 else (None, None)
    folder = Path(tempfile.mkdtemp(prefix="taskward-pooler-"))
    (folder / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
    (folder / "ini").write_text(
        f"[databases]\n{database} = host={server['host']} port={server['port']} dbname={database}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 200\n"
    )
    for path in (folder, *folder.iterdir()):
        if account[0] is not None:
            os.chown(path, *account)
    process = subprocess.Popen(
        [str(PGBOUNCER), str(folder / "ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account[0],
        group=account[1],
        extra_groups=[] if account[0] is not None else None,
    )
    try:
        yield f"postgresql://{parts.username}:{quote(parts.password or '')}@127.0.0.1:{port}/{database}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


async def ready(url: str) -> None:
    for _ in range(100):
        try:
            await (await asyncpg.connect(url, timeout=5, ssl=False)).close()
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("PgBouncer did not start")


@pytest.fixture
async def pooled(new_database: str) -> AsyncIterator[str]:
    with pooling(new_database) as url:
        await ready(url)
        yield url


async def rounds(database: Database, user_id: str) -> None:
    owner = Owner(user_id)
    for number in range(5):
        task_id = await write_task(database, user_id, f"{user_id} {number}")
        async with database.session(owner) as session:
            store = TaskStore(session)
            rows = await store.list(listing(TaskFilters(limit=200)))
            assert {row["user_id"] for row in rows} == {user_id}
            assert len(rows) == number + 1
            # Without its condition on the owner, the policies' alone.
            seen = await session._connection.fetch("SELECT DISTINCT user_id FROM taskward.task")
            assert [row["user_id"] for row in seen] == [user_id]
            await store.toggle(task_id, None)


async def test_fifty_users_over_three_connections_see_only_their_own(pooled: str, new_database: str):
    async with opened(pooled, pool_size=25, pooled="on") as one, opened(pooled, pool_size=25, pooled="on") as two:
        await asyncio.gather(*(rounds((one, two)[n % 2], f"user {n}") for n in range(50)))
        async with connected(new_database) as direct:
            backends = await direct.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
        assert backends <= SERVER_CONNECTIONS
        async with connected(pooled) as other:  # another client of the pooler finds nobody's owner
            for _ in range(SERVER_CONNECTIONS * 2):
                assert await other.fetchval("SELECT current_setting('taskward.user_id', true)") in {"", None}


async def test_the_schema_is_migrated_through_it(empty_database: str):
    with pooling(empty_database) as url:
        await ready(url)
        for _ in range(2):
            await migrate(parse_address(url, pooled="on"))
        async with opened(url, pooled="on") as database:
            await write_task(database, "alice")
            assert await database.problem() is None


async def test_without_knowing_of_it_the_settings_are_refused(pooled: str):
    with pytest.raises(asyncpg.PostgresError):
        async with opened(pooled, pooled="off") as database:
            await rounds(database, "alice")


async def test_a_cut_server_connection_costs_no_request(pooled: str, new_database: str):
    async with opened(pooled, pool_size=5, pooled="on") as database:
        await rounds(database, "alice")
        async with connected(new_database) as direct:
            await direct.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await rounds(database, "bob")
