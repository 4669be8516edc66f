"""One real PostgreSQL and one real HTTP server for the whole session; each test brings users of its own.

Users are kept apart by the very thing under test, so tests need no clean database: they need new users, which the
fixtures `alice` and `bob` are. A test that changes the database itself takes `new_database`, a migrated clone.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from taskward.app import create_app
from taskward.identity import Owner
from taskward.identity.tokens import sign
from taskward.postgres import running
from taskward.settings import Settings
from taskward.storage import pool
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.leases import Lease, LiteralLease
from taskward.storage.migrate import migrate
from taskward.storage.session import Session
from taskward.storage.wire import Wire
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests import sizes
from tests.folders import new_folder
from tests.messages import kinds

if TYPE_CHECKING:
    Superuser = asyncpg.Connection[asyncpg.Record]
else:
    Superuser = asyncpg.Connection

OLDEST_POSTGRES = Path("/usr/lib/postgresql/15/bin")
SECRET = "a-secret-of-the-tests-that-nobody-else-knows"
# Every server here speaks plain HTTP. Without this each client would read all the certificate authorities there are,
# which takes longer than most tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LEFT_OUT = ("processes", "costs", "long")
"""Markers of what the default run leaves out, and CI runs."""
_LEFT_OUT = pytest.StashKey[int]()
OPENINGS: dict[str, type[Lease]] = {"begun": Lease, "literals": LiteralLease}
PLAIN: dict[str, Any] = {"verify": NO_TLS, "timeout": 30}
"""How a test asks. Seconds only end one that would wait for ever: httpx2's default of 5 is less than a busy machine may
take, and no more than a token with an unknown key may wait for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="try properties, fuzzers and crowds at full size, as CI does"
    )
    parser.addoption("--all", action="store_true", help="leave out no test: see the markers in pyproject.toml")
    parser.addoption("--opening", choices=OPENINGS, help="how all transactions begin, wherever the database is")
    parser.addoption("--no-skip", action="store_true", help="a test that cannot run here fails, as it does in CI")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background deaf to Ctrl-C, and so would be every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if opening := config.getoption("--opening"):
        pool.kind_for = lambda address: OPENINGS[opening]  # noqa: ARG005 - whatever it is
    if config.getoption("--thorough"):
        sizes.be_thorough()


def _leaves_out(config: pytest.Config) -> bool:
    """Whether this is the default run. One that is asked for files, tests or markers is given all that these have."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS and not any(Path(arg).is_dir() for arg in config.args)
    return not (named or config.getoption("--all") or config.getoption("markexpr"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not _leaves_out(config):
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if any(item.get_closest_marker(name) for name in LEFT_OUT) else kept).append(item)
    config.stash[_LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):
        # The process that writes the summary collects nothing by itself.
        config.workeroutput["left_out"] = len(left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every process collects the same tests.
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests were left out, which start processes, take long or bound processor time;"
            " `uv run pytest --all` runs them as well, and CI does."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skip"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid} cannot run here: {reason}"
    return report


def make_token(user_id: str, /, *, secret: str = SECRET, ttl: float = 3600, **claims: Any) -> str:
    """A token as an issuer would sign it; a claim given as None is left out."""
    all_claims = {"sub": user_id, "iat": int(time.time()), "exp": int(time.time() + ttl), **claims}
    return sign({name: value for name, value in all_claims.items() if value is not None}, secret)


def make_settings(database_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"database_url": database_url, "jwt_secret": SECRET, **changes}
    return Settings(_env_file=None, **values)


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL.

    Attributes:
        superuser: A URL of a superuser on the database `postgres`.
        owner: A URL of a role that may create roles and owns its databases, as a provider hands it out.
    """

    superuser: str
    owner: str

    def url(self, database: str, *, superuser: bool = False) -> str:
        parts = urlsplit(self.superuser if superuser else self.owner)
        return urlunsplit(parts._replace(path=f"/{database}"))


@pytest.fixture(scope="session", autouse=True)
def _no_configuration_from_outside() -> Iterator[None]:
    # A developer's own settings must not reach the tests.
    found = {
        n: v for n, v in os.environ.items() if n.startswith("TASKWARD_") or n in {"DATABASE_URL", "BETTER_AUTH_SECRET"}
    }
    for name in found:
        del os.environ[name]
    yield
    os.environ.update(found)


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
    """The embedded server, started as `taskward serve` starts it."""
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
async def new_database(empty_database: str) -> str:
    """The URL of a migrated database of this test's own."""
    await migrate(parse_address(empty_database))
    return empty_database


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:  # pragma: no cover - uvicorn's name for it in older versions
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI app on a free port of loopback, in a thread with a loop of its own; yields its URL."""
    # Where the bench's packages are installed uvicorn would choose a parser that refuses what it does not know itself.
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http="h11", loop="asyncio", log_level="warning", lifespan="on", access_log=False
    )
    server = _Server(config)
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(server.serve())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        if not server.started:
            raise RuntimeError("the app did not start") from (failure[0] if failure else None)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def app(cluster: Cluster, template: str) -> FastAPI:
    """The app as shipped, on the session's database."""
    return create_app(make_settings(cluster.url(template)))


@pytest.fixture(scope="session")
def base_url(app: FastAPI) -> Iterator[str]:
    """Where the session's app is served, over real HTTP."""
    with serving(app) as url:
        yield url


@dataclass(frozen=True)
class User:
    """A user with a token and a client that sends it."""

    id: str
    token: str
    http: httpx2.AsyncClient

    async def create(self, title: str = "Buy milk", **members: Any) -> dict[str, Any]:
        response = await self.http.post("/api/v1/tasks", json={"title": title, **members})
        assert response.status_code == 201, response.text
        return response.json()  # type: ignore[no-any-return]

    async def trash(self, task_id: str) -> None:
        assert (await self.http.delete(f"/api/v1/tasks/{task_id}")).status_code == 204


NewUser = Callable[[str], Awaitable[User]]


@pytest.fixture
async def new_user(base_url: str) -> AsyncIterator[NewUser]:
    """Makes users with an id that no other test has."""
    clients: list[httpx2.AsyncClient] = []

    async def make(name: str) -> User:
        user_id = f"{name}-{secrets.token_hex(4)}"
        token = make_token(user_id)
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=30, verify=NO_TLS)
        clients.append(client)
        return User(user_id, token, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def alice(new_user: NewUser) -> User:
    return await new_user("alice")


@pytest.fixture
async def bob(new_user: NewUser) -> User:
    return await new_user("bob")


@pytest.fixture
async def nobody(base_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a token."""
    async with httpx2.AsyncClient(base_url=base_url, timeout=30, verify=NO_TLS) as client:
        yield client


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
