"""Behind PgBouncer in transaction mode, where each transaction may be on another server connection."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import httpx2
import psutil
import pytest

from taskward.app import create_app
from taskward.identity import Owner
from taskward.storage.database import Database
from taskward.storage.dsn import AddressError, parse_address
from taskward.storage.migrate import migrate
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore
from tests.commands import start
from tests.databases import connected, name_of, opened, write_task
from tests.reference_model import TASK, TASKS, Ask, User, World, check, everything
from tests.serving import NO_TLS, SECRET, make_settings, serving
from tests.sizes import sized
from tests.test_dsn import dead_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SERVER_CONNECTIONS = 3
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed"),
]


@contextmanager
def pooling(url: str, server_connections: int = SERVER_CONNECTIONS, *settings: str) -> Iterator[str]:
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
        f"default_pool_size = {server_connections}\nmax_client_conn = 200\n" + "\n".join(settings)
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
            tasks = (await store.list(listing(TaskFilters(limit=200)))).tasks
            assert {json.loads(task)["user_id"] for task in tasks} == {user_id}
            assert len(tasks) == number + 1
            # Without its condition on the owner, the policies' alone.
            seen = await (await session._begun()).fetch("SELECT DISTINCT user_id FROM taskward.task")
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


@pytest.mark.parametrize("server_connections", [1, 2, 10])
async def test_a_pooler_that_nobody_told_of_is_refused(new_database: str, server_connections: int, tmp_path: Path):
    """Where it takes the parameter by which it would refuse, `ignore_startup_parameters`."""
    with pooling(new_database, server_connections, "ignore_startup_parameters = jit") as url:
        await ready(url)
        with pytest.raises(AddressError, match=r"^DATABASE_URL leads to a pooler .* set TASKWARD_POOLED=on\.$"):
            await Database(parse_address(url), pool_size=1).open()
        said = start("doctor", stdout=subprocess.PIPE, folder=tmp_path, DATABASE_URL=url, TASKWARD_JWT_SECRET=SECRET)
        assert said.returncode == 1
        assert "FAIL database: DATABASE_URL leads to a pooler" in said.stdout
        for pooled in ("on", "off"):  # who says so knows
            async with opened(url, pool_size=1, pooled=pooled):
                pass


async def test_a_pooler_that_leaves_a_session_on_its_connection_will_do(new_database: str):
    with pooling(new_database, 10, "ignore_startup_parameters = jit", "pool_mode = session") as url:
        await ready(url)
        async with opened(url, pool_size=2) as database:
            await rounds(database, "alice")


SERVED_BY = 10


def day(user: User, neighbour: User) -> Iterator[Ask]:
    """What a user does in turn: each request is made when the one before has been answered."""
    yield Ask("POST", TASKS, body={"title": f"Plan of {user.marker}"})
    task_id = user.tasks.ever[-1]
    yield Ask("GET", TASKS, params={"limit": "200"})
    yield Ask("PATCH", TASK, task_id, body={"description": f"About {user.marker}"})
    yield Ask("GET", TASK, neighbour.tasks.ever[0])
    yield Ask("PATCH", f"{TASK}/complete", task_id)
    yield Ask("PATCH", TASK, neighbour.tasks.ever[0], body={"title": f"Mine, says {user.marker}"})
    yield Ask("DELETE", TASK, task_id, params={"permanent": "true"} if len(user.tasks.ever) % 2 else {})
    yield Ask("GET", TASKS, params={"limit": "200", "deleted": "true"})


async def busiest(direct: asyncpg.Connection[asyncpg.Record], work: asyncio.Future[Any], port: int) -> tuple[int, int]:
    """The most connections that were open at once, from PgBouncer to the server and from clients to PgBouncer."""
    to_server = to_pooler = 0
    while not work.done():
        found = await direct.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        sockets = psutil.net_connections("tcp4")
        clients = [s for s in sockets if s.laddr and s.laddr.port == port and s.status == psutil.CONN_ESTABLISHED]
        to_server, to_pooler = max(to_server, found), max(to_pooler, len(clients))
        await asyncio.sleep(0.1)
    return to_server, to_pooler


async def test_a_crowd_over_ten_connections_is_answered_each_from_what_is_theirs(new_database: str):
    world = World()
    crowd = [world.add(at_once=True) for _ in range(sized(60, 300))]
    async with AsyncExitStack() as stack:
        pooled = stack.enter_context(pooling(new_database, SERVED_BY))
        await ready(pooled)
        apps = [create_app(make_settings(pooled, pool_size=25, pooled="on")) for _ in range(2)]
        urls = itertools.cycle([stack.enter_context(serving(app)) for app in apps])
        # Each user has connections of their own, as people do, and none that the server is about to give up.
        limits = httpx2.Limits(keepalive_expiry=1)
        clients = [httpx2.AsyncClient(timeout=60, verify=NO_TLS, limits=limits) for _ in crowd]
        for client in clients:
            await stack.enter_async_context(client)
        db = await stack.enter_async_context(connected(new_database))

        async def send(number: int, ask: Ask) -> None:
            user = crowd[number]
            sent = ask.sending(user)
            check(user, ask, await clients[number].request(**{**sent, "url": next(urls) + sent["url"]}))

        async def live(number: int) -> None:
            for turn in range(sized(1, 2)):
                for ask in day(crowd[number], crowd[(number + turn + 1) % len(crowd)]):
                    await send(number, ask)
            for ask in everything(crowd[number]):
                await send(number, ask)

        everybody = range(len(crowd))
        await asyncio.gather(
            *(send(n, Ask("POST", TASKS, body={"title": f"Kept by {crowd[n].marker}"})) for n in everybody)
        )
        for user in crowd:
            user.tasks.kept.update(user.tasks.ever)
        work = asyncio.gather(*(live(number) for number in everybody))
        to_server, to_pooler = await busiest(db, work, urlsplit(pooled).port or 0)
        await work
    assert to_server <= SERVED_BY
    assert to_pooler > 3 * SERVED_BY
    assert {status for (_, status) in world.seen if isinstance(status, int)} == {200, 201, 204, 403, 404}


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
