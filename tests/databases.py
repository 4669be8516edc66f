"""One real PostgreSQL for the whole session; a test that changes the database takes one of its own, `new_database`."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from taskward.identity import Owner
from taskward.postgres import running
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.session import Session
from taskward.storage.wire import Wire
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.citus import CITUS_URL, at, citus_cluster, citus_database, nodes_of
from tests.clusters import Cluster
from tests.folders import new_folder
from tests.messages import kinds

if TYPE_CHECKING:
    Superuser = asyncpg.Connection[asyncpg.Record]
else:
    Superuser = asyncpg.Connection
OTHERS = (
    "FROM citus_stat_activity WHERE global_pid <> citus_backend_gpid() AND datname = current_database()"
    if CITUS_URL
    else "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
)
"""What others do in this database, on every node: where a query of theirs goes on."""
OLDEST_POSTGRES = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """Where the session's servers are."""
    folder = new_folder("taskward-test-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cluster(folder: Path, binaries: Path | None = None) -> Iterator[Cluster]:
    with running(folder, binaries=binaries) as server:
        import json  # noqa: PLC0415

        passwords = json.loads((server.data_dir / "credentials.json").read_text())
        parts = urlsplit(server.dsn)
        superuser = parts._replace(netloc=f"postgres:{passwords['postgres']}@", path="/postgres")
        url = urlunsplit(superuser)
        # Nothing here outlives the session. That a write survives a crash is tested on servers of their own.
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            asyncio.run(_execute(url, f"ALTER SYSTEM SET {name} = off"))
        asyncio.run(_execute(url, "SELECT pg_reload_conf()"))
        if server.version >= "16":  # before, there is no such setting
            asyncio.run(_execute(url, "SET scram_iterations = 1", *_the_same_passwords(url, server.dsn)))
        yield Cluster(url, server.dsn)


def _the_same_passwords(*urls: str) -> Iterator[str]:
    """Each anew, so that it is derived as the session says: 4096 times, it is most of what a connection costs."""
    for parts in map(urlsplit, urls):
        assert parts.username is not None
        assert parts.password is not None
        yield f"ALTER ROLE {parts.username} PASSWORD '{unquote(parts.password)}'"


@pytest.fixture(scope="session")
def cluster(open_folder: Path) -> Iterator[Cluster]:
    """The embedded server, started as `taskward serve` starts it; with `TASKWARD_TEST_CITUS_URL`, the coordinator
    of that cluster.
    """
    if CITUS_URL:
        with citus_cluster(CITUS_URL) as cluster:
            yield cluster
        return
    with _cluster(open_folder / "data") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster_15(open_folder: Path) -> Iterator[Cluster]:
    """A server of the oldest version that is supported, where it is installed."""
    if not OLDEST_POSTGRES.joinpath("postgres").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {OLDEST_POSTGRES}")
    with _cluster(open_folder / "data-15", OLDEST_POSTGRES) as cluster:
        yield cluster


@pytest.fixture(params=["18", pytest.param("15", marks=pytest.mark.processes)])
def either_cluster(request: pytest.FixtureRequest) -> Cluster:
    """The newest version, and the oldest. Those between, 16 and 17, differ from 18 in nothing that is used here."""
    return request.getfixturevalue("cluster" if request.param == "18" else "cluster_15")  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
async def template(cluster: Cluster) -> str:
    """The name of a migrated database that others are cloned from."""
    if CITUS_URL:
        return name_of(cluster.owner)
    await migrate(parse_address(cluster.owner))
    return "taskward"


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database(cluster: Cluster) -> AsyncIterator[str]:
    """The URL of a database that was never migrated; its roles are dropped with it."""
    if CITUS_URL:
        pytest.skip("the role of requests cannot migrate a cluster")
    async with _empty_database(cluster) as url:
        yield url


@asynccontextmanager
async def _empty_database(cluster: Cluster) -> AsyncIterator[str]:
    name = f"empty_{secrets.token_hex(4)}"
    await _execute(cluster.superuser, f"CREATE DATABASE {name} OWNER taskward")
    yield cluster.url(name)
    await drop_database(cluster, name)


async def drop_database(cluster: Cluster, name: str) -> None:
    roles = f"SELECT rolname FROM pg_roles WHERE rolname IN ('taskward_requests_{name}', 'taskward_probe_{name}')"
    connection = await asyncpg.connect(cluster.superuser)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for (role,) in await connection.fetch(roles):
            await connection.execute(f"DROP ROLE {role}")
    finally:
        await connection.close()


@pytest.fixture
async def new_database(cluster: Cluster) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own, as the role that requests log in as."""
    if CITUS_URL:
        async with citus_database(CITUS_URL) as url:
            yield url
        return
    async with _empty_database(cluster) as url:
        await migrate(parse_address(url))
        yield url


@pytest.fixture
async def superuser(cluster: Cluster, template: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the session's database that row-level security does not bind."""
    connection = await asyncpg.connect(cluster.url(template, superuser=True))
    yield connection
    await connection.close()


async def rows_of(superuser: Superuser, user_id: str) -> list[tuple[str, str]]:
    """Every row that is a user's, of every table that there is, as text."""
    tables = await superuser.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
        " WHERE c.relnamespace = 'taskward'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1"
    )
    return [
        (table, row["x"])
        for (table,) in tables
        for row in await superuser.fetch(
            f"SELECT x::text FROM taskward.{table} x WHERE user_id = $1 ORDER BY 1", user_id
        )
    ]


def name_of(url: str) -> str:
    """The database that a URL names."""
    return unquote(urlsplit(url).path[1:])


@asynccontextmanager
async def opened(url: str, *, pool_size: int = 3, pooled: str = "auto") -> AsyncIterator[Database]:
    """The database as the service opens it."""
    database = Database(parse_address(url, pooled=pooled), pool_size=pool_size)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One connection, as whoever the URL names."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    """Run statements one by one, each in a transaction of its own."""
    await _execute(url, *statements)


async def set_defaults(cluster: Cluster, url: str, settings: Mapping[str, str]) -> None:
    """Set what each connection to a database begins with, on every node."""
    nodes = [cluster.superuser]
    if CITUS_URL:
        nodes = [at(CITUS_URL, host, port, "postgres") for host, port in await nodes_of(CITUS_URL)]
    for node in nodes:
        await execute(node, *(f"ALTER DATABASE {name_of(url)} SET {key} = {value}" for key, value in settings.items()))


async def write_task(database: Database, user_id: str, title: str = "Buy milk") -> UUID:
    """Write a task as `user_id`, past HTTP."""
    task = TaskCreate(title=title)
    async with database.session(Owner(user_id)) as session:
        await TaskStore(session).add(task)
    return task.id


async def listed(session: Session) -> list[UUID]:
    """The ids of the session's tasks that a listing shows, past HTTP; all are its owner's."""
    page = await TaskStore(session).list(listing(TaskFilters()))
    tasks = [json.loads(task) for task in page.tasks]
    assert {task["user_id"] for task in tasks} <= {session._user_id}
    return [UUID(task["id"]) for task in tasks]


async def read_tasks(database: Database, owner: Owner) -> list[UUID]:
    """The ids of an owner's tasks, read as a GET reads them, past HTTP."""
    async with database.session(owner, read_only=True) as session:
        return await listed(session)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to databases from now on: for each write, the first letters of its messages."""
    seen: list[str] = []
    write = Wire.write

    def record(self: Wire, data: bytes | memoryview) -> None:
        seen.append(kinds(self.opening + bytes(data)))
        write(self, data)

    monkeypatch.setattr(Wire, "write", record)
    return seen


@pytest.fixture
async def database(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """The session's database, opened once more in the test's own loop."""
    async with opened(cluster.url(template)) as database:
        yield database


@pytest.fixture
async def two_users(database: Database) -> tuple[str, str]:
    """The ids of two users who have one task each, past HTTP."""
    names = f"carol-{secrets.token_hex(4)}", f"dave-{secrets.token_hex(4)}"
    for name in names:
        await write_task(database, name)
    return names
