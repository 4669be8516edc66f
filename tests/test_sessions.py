"""One transaction per session: its end, what it leaves behind, and what happens when the server goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from asyncpg import connect_utils

from taskward.errors import OutcomeUnknown, Unavailable
from taskward.identity import Owner
from taskward.postgres import running
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.roles import RoleNames
from taskward.storage.session import Session, constraint_of
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.statements import export_changed
from taskward.tasks.store import TaskStore
from tests.citus import CITUS_URL, on_one_machine
from tests.clusters import Cluster
from tests.databases import OTHERS, connected, execute, name_of, opened, set_defaults, write_task

ALICE = Owner("alice")
TRIGGERS = "SET citus.enable_unsafe_triggers TO on"
"""Lets a distributed table have triggers; on one machine it says nothing."""


async def titles(database: Database, owner: Owner = ALICE) -> list[str]:
    async with database.session(owner) as session:
        page = await TaskStore(session).list(listing(TaskFilters()))
        return [json.loads(task)["title"] for task in page.tasks]


async def backend(session: Session) -> int:
    return int(await (await session._begun()).fetchval("SELECT pg_backend_pid()"))


async def terminate(url: str, *pids: int) -> None:
    async with connected(url) as other:
        for pid in pids:
            assert await other.fetchval("SELECT pg_terminate_backend($1::int, 5000)", pid)


async def test_a_session_is_committed_before_it_ends(new_database: str):
    async with opened(new_database) as one, opened(new_database) as two:
        await write_task(one, "alice", "Buy milk")
        assert await titles(two) == ["Buy milk"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyError, GeneratorExit])
async def test_a_session_is_rolled_back_on_any_error(new_database: str, error: type[BaseException]):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice", "kept")
        with pytest.raises(error):
            async with database.session(ALICE) as session:
                assert await (await session._begun()).execute("UPDATE taskward.task SET title = 'lost'") == "UPDATE 1"
                raise error
        assert await titles(database) == ["kept"]


async def test_a_swallowed_error_is_not_taken_for_a_commit(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice", "kept")
        with pytest.raises(RuntimeError, match="ended with ROLLBACK"):
            async with database.session(ALICE) as session:
                await (await session._begun()).execute("UPDATE taskward.task SET title = 'lost'")
                with contextlib.suppress(asyncpg.DivisionByZeroError):
                    await (await session._begun()).execute("SELECT 1 / 0")
        assert await titles(database) == ["kept"]


async def test_the_connection_of_a_failed_session_is_used_again(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        async with database.session(ALICE) as session:
            before = await backend(session)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with database.session(ALICE) as session:
                await (await session._begun()).execute("SELECT 1 / 0")
        async with database.session(ALICE) as session:
            assert await backend(session) == before


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_nothing_is_left_for_the_next_user_of_a_connection(new_database: str, end: str):
    login = urlsplit(new_database).username
    role = login if CITUS_URL else RoleNames.of(name_of(new_database)).requests
    async with opened(new_database, pool_size=1) as database:
        with contextlib.suppress(ValueError):
            async with database.session(ALICE) as session:
                assert await (await session._begun()).fetchval("SELECT current_setting('taskward.user_id')") == "alice"
                assert await (await session._begun()).fetchval("SELECT current_user::text") == role
                if end == "ROLLBACK":
                    raise ValueError
        lease = await database.pool.acquire()
        connection: Any = lease.connection
        connection._transport._is_in_transaction = None  # asked past the guard
        state = await connection.fetchrow("SELECT current_user::text, current_setting('taskward.user_id', true)")
        assert state is not None
        assert tuple(state) == (login, "")
        assert not connection.is_in_transaction()
        database.pool.release(lease)


async def test_the_second_of_two_users_of_a_connection_sees_nothing_of_the_first(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice", "mine")
        assert await titles(database, Owner("bob")) == []


ODD_IDS = [
    "o'brien", "''", "\\", "\\'", "a\\'; SELECT 1 --", "'; DROP TABLE taskward.task; --", "$1", "$$", "$taskward$",
    "%s", "😀", "e\u0301", "\u00e9", "x" * 255, "😀" * 255, " ", " alice ", "ALICE", "alice\n", "\x7f", '"',
    "E'\\''", "\\x41", "\\u0041", "null", "{a}", ":id",
]  # fmt: skip


@pytest.mark.parametrize("pooled", ["off", "on"])
@pytest.mark.parametrize(
    "conforming", ["on", pytest.param("off", marks=on_one_machine("a cluster that reads strings so is not served"))]
)
async def test_any_user_id_is_itself_and_nobody_else(cluster: Cluster, new_database: str, conforming: str, pooled: str):
    settings = {
        "standard_conforming_strings": conforming, "backslash_quote": "on", "escape_string_warning": "off",
    }  # fmt: skip
    await set_defaults(cluster, new_database, settings)
    async with opened(new_database, pool_size=1, pooled=pooled) as database:
        for user_id in ODD_IDS:
            await write_task(database, user_id, "mine")
        for user_id in ODD_IDS:
            async with database.session(Owner(user_id)) as session:
                connection = await session._begun()
                assert await connection.fetchval("SHOW standard_conforming_strings") == conforming
                assert await connection.fetchval("SELECT current_setting('taskward.user_id')") == user_id
                assert [row["user_id"] for row in await connection.fetch("SELECT user_id FROM taskward.task")] == [
                    user_id
                ]
        assert await titles(database) == []


@pytest.mark.parametrize("pooled", ["off", "on"])
async def test_a_user_id_with_nul_reaches_no_connection(new_database: str, pooled: str):
    async with opened(new_database, pooled=pooled) as database:
        with pytest.raises(ValueError, match="NUL"):
            async with database.session(Owner("a\0b")) as session:
                await session._begun()
        assert database.pool.in_use == 0


async def test_a_session_that_has_ended_says_so(database: Database):
    async with database.session(ALICE) as session:
        pass
    for ask in (TaskStore(session).account, session._begun, session.start_over):
        with pytest.raises(RuntimeError, match="is not open"):
            await ask()
    assert database.pool.in_use == 0


async def test_a_default_of_serializable_changes_nothing(cluster: Cluster, new_database: str):
    await set_defaults(cluster, new_database, {"default_transaction_isolation": "serializable"})
    async with opened(new_database) as database:
        async with database.session(ALICE) as session:
            assert await (await session._begun()).fetchval("SHOW transaction_isolation") == "read committed"
        await asyncio.gather(*(write_task(database, "alice") for _ in range(20)))


async def test_a_database_that_takes_no_writes_is_read_and_is_unavailable_for_writes(
    cluster: Cluster, new_database: str
):
    async with opened(new_database) as database:
        await write_task(database, "alice", "kept")
    await set_defaults(cluster, new_database, {"default_transaction_read_only": "on"})
    async with opened(new_database) as database:
        assert await titles(database) == ["kept"]
        with pytest.raises(Unavailable):
            await write_task(database, "alice")


# The server goes away


async def test_idle_connections_that_were_cut_are_replaced_unnoticed(new_database: str):
    async with opened(new_database, pool_size=3) as database:
        one, two, three = (database.session(Owner(name)) for name in ("one", "two", "three"))
        async with one as first, two as second, three as third:
            pids = [await backend(session) for session in (first, second, third)]
        # From another thread, while this one's loop stands still and so cannot notice.
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, terminate(new_database, *pids)).result()
        assert not any(lease.connection.is_closed() for lease in database.pool.idle)
        assert await titles(database) == []
        assert (database.pool.in_use, len(database.pool.idle)) == (0, 1)


class Slow:
    """A statement that no store has; it takes its time."""

    # A Citus coordinator takes no function without a value.
    sql = "SELECT user_id FROM taskward.task, CAST(pg_sleep(0.3) AS text) WHERE user_id = $1"

    def arguments(self, user_id: str, _parameters: Any) -> list[Any]:
        return [user_id]


# Nothing here waits for less than a session: whoever did so would leave its statement to the next one's transaction.
@pytest.mark.long
@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("pause", [0, 0.6])
async def test_a_connection_that_is_in_the_middle_of_a_statement_is_not_used_again(
    new_database: str, monkeypatch: pytest.MonkeyPatch, *, swallowed: bool, read_only: bool, pause: float
):
    async def lost(**_: Any) -> None:
        """In place of a request to cancel, which may not arrive."""

    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        for _ in range(2):
            async with database.session(ALICE, read_only=read_only) as session:
                assert len(await session.fetch(Slow())) == 1  # type: ignore[arg-type]
        monkeypatch.setattr(connect_utils, "_cancel", lost)
        with pytest.raises(RuntimeError if swallowed else Unavailable):
            async with database.session(ALICE, read_only=read_only) as session:
                try:
                    async with asyncio.timeout(0.1):
                        await session.fetch(Slow())  # type: ignore[arg-type]
                except TimeoutError:
                    if not swallowed:
                        raise
        await asyncio.sleep(pause)
        for reading in (True, False):
            async with database.session(Owner("bob"), read_only=reading) as session:
                assert await session.fetch(Slow()) == []  # type: ignore[arg-type]


async def test_a_role_that_has_gone_is_not_taken_for_a_mistake_of_the_callers(cluster: Cluster, new_database: str):
    async with opened(new_database, pool_size=1) as database:
        for _ in range(2):
            assert await titles(database) == []
        role = database.pool.role
        if role is None:
            pytest.skip("requests take no role where that of the login is a safe one")
        await execute(cluster.superuser, f'ALTER ROLE "{role}" RENAME TO "{role}_gone"')
        try:
            with pytest.raises(asyncpg.InvalidParameterValueError):
                await titles(database)
        finally:
            await execute(cluster.superuser, f'ALTER ROLE "{role}_gone" RENAME TO "{role}"')
        assert await titles(database) == []


async def test_a_read_whose_connection_is_lost_at_its_end_is_unavailable_at_most(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        async with database.session(ALICE, read_only=True) as session:
            # Never prepared on this connection, so it has begun.
            assert await TaskStore(session).account()
            await terminate(new_database, await backend(session))
        assert (database.pool.in_use, database.pool.idle) == (0, [])


async def test_a_setting_of_the_owner_that_the_login_has_is_never_a_transactions(cluster: Cluster, new_database: str):
    await set_defaults(cluster, new_database, {"taskward.user_id": "'mallory'"})
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "mallory")
        for _ in range(3):
            assert await titles(database) == []
            assert await titles(database, Owner("mallory")) == ["Buy milk"]


async def test_what_has_begun_is_not_begun_again(new_database: str):
    async with opened(new_database, pool_size=2) as database:
        with pytest.raises(Unavailable):
            async with database.session(ALICE) as session:
                store = TaskStore(session)
                await store.add(TaskCreate(title="lost"))
                await terminate(new_database, await backend(session))
                await store.add(TaskCreate(title="lost, too"))
        assert await titles(database) == []


async def test_a_busy_connection_that_is_cut_is_unavailable(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        with pytest.raises(Unavailable) as caught:
            async with database.session(ALICE) as session:
                await terminate(new_database, await backend(session))
                await TaskStore(session).account()
        assert type(caught.value) is Unavailable
        assert await titles(database) == []


async def test_a_connection_that_is_lost_in_the_commit_leaves_the_outcome_unknown(cluster: Cluster, new_database: str):
    await execute(
        cluster.url(name_of(new_database), superuser=True),
        TRIGGERS,
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON taskward.task DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION cut()",
    )
    async with opened(new_database, pool_size=1) as database:
        with pytest.raises(OutcomeUnknown):
            await write_task(database, "alice")
        assert await titles(database) == []


@on_one_machine("a coordinator tells of a COMMIT only that it has failed on a node")
async def test_a_constraint_that_fails_in_the_commit_is_not_an_unknown_outcome(cluster: Cluster, new_database: str):
    await execute(
        cluster.url(name_of(new_database), superuser=True),
        TRIGGERS,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE check_violation; END'",
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON taskward.task DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no()",
    )
    async with opened(new_database, pool_size=1) as database:
        with pytest.raises(asyncpg.CheckViolationError):
            await write_task(database, "alice")
        assert await titles(database) == []


@pytest.mark.processes
async def test_a_restarted_server_is_found_again(open_folder: Path):
    folder = open_folder / "restarted"
    with contextlib.ExitStack() as first:
        url = first.enter_context(running(folder)).dsn
        await migrate(parse_address(url))
        database: Any = await first_open(url)
        await write_task(database, "alice", "kept")
    with pytest.raises(Unavailable):
        await titles(database)
    assert await database.problem() == "the database cannot be reached"
    with running(folder):
        assert await titles(database) == ["kept"]
        assert await database.problem() is None
        await database.close()


async def first_open(url: str) -> Database:
    database = Database(parse_address(url), pool_size=2)
    await database.open()
    return database


async def test_a_connection_that_is_cancelled_while_it_commits_is_not_used_again(cluster: Cluster, new_database: str):
    await execute(
        cluster.url(name_of(new_database), superuser=True),
        TRIGGERS,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON taskward.task DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    async with opened(new_database, pool_size=1) as database:
        writing = asyncio.create_task(write_task(database, "alice"))
        async with connected(new_database) as watcher:
            asleep = f"SELECT count(*) {OTHERS} AND wait_event = 'PgSleep'"
            while not await watcher.fetchval(asleep):
                pass
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert (database.pool.in_use, database.pool.idle) == (0, [])
        assert await titles(database) == []


async def test_nothing_runs_before_the_role_was_checked(cluster: Cluster, template: str):
    database = Database(parse_address(cluster.url(template)), pool_size=1)
    with pytest.raises(Unavailable, match="has not been started"):
        database.session(ALICE)


@pytest.mark.parametrize("told", [{}, {"n": "task_list_102051"}], ids=["another node's", "the coordinator's own"])
def test_the_constraint_of_a_shard_is_known_by_the_name_that_it_was_given(told: dict[str, str]):
    message = 'insert or update on table "task_102051" violates foreign key constraint "task_list_102051"'
    detail = 'Key (user_id, list_id)=(a "b", 1) is not present in table "list_102043".'
    error = asyncpg.ForeignKeyViolationError.new({"C": "23503", "M": message, "D": detail, **told})
    assert constraint_of(error) == "task_list"


async def test_several_rows_are_never_taken_for_one(new_database: str):
    async with opened(new_database) as database:
        for _ in range(2):
            await write_task(database, ALICE.user_id)
        async with database.session(ALICE) as session:
            assert len(await session.fetch(export_changed(), after=0, rows=2, most=2**62)) == 2
            assert await session.fetch_one(export_changed(), after=0, rows=1, most=2**62)
            with pytest.raises(RuntimeError, match="yielded several"):
                await session.fetch_one(export_changed(), after=0, rows=2, most=2**62)
