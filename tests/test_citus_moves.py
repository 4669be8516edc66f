"""What shards keep when Citus moves, splits and rebalances them, and what a new node gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from taskward.identity import Owner
from taskward.storage.citus import check_nodes
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.pool import connect
from tests.citus import SHARDS, at, citus_database, owners, superusers
from tests.citus_nodes import Roles, assert_protected
from tests.databases import Superuser, connected, execute, name_of, opened, write_task
from tests.test_citus import citus_fixture  # noqa: F401 - a fixture

pytestmark = pytest.mark.citus
USERS = tuple(f"user-{number}" for number in range(24))
MODES = ("force_logical", "block_writes")


@pytest.fixture
async def url(citus: str) -> AsyncIterator[str]:
    """The URL for requests of a database of the test's own, in which each of `USERS` has a task."""
    async with citus_database(citus) as url:
        async with opened(url) as database:
            for user in USERS:
                await write_task(database, user)
        yield url


@pytest.fixture
async def superuser(citus: str, url: str) -> AsyncIterator[Superuser]:
    """On its coordinator."""
    async with connected(superusers(citus, url)) as superuser:
        yield superuser


@asynccontextmanager
async def written_to(url: str, *refusals: type[asyncpg.PostgresError], each: int = 1) -> AsyncIterator[dict[str, int]]:
    """While this lasts, each of `USERS` adds a task again and again; yields how many each has, in the end.

    Args:
        refusals: How a write may fail meanwhile. None does once it is over.
        each: How many each has before.
    """
    has = dict.fromkeys(USERS, each)
    ended = asyncio.Event()

    async def write(database: Database, *refusals: type[asyncpg.PostgresError]) -> None:
        for user in USERS:
            with suppress(*refusals):
                await write_task(database, user)
                has[user] += 1

    async def go_on(database: Database) -> None:
        while not ended.is_set():
            await write(database, *refusals)

    async with opened(url) as database:
        writing = asyncio.create_task(go_on(database))
        try:
            yield has
        finally:
            ended.set()
            await writing
        await write(database)


async def each_sees_its_own(url: str, has: dict[str, int]) -> None:
    async with opened(url) as database:
        for user, tasks in has.items():
            async with database.session(Owner(user), read_only=True) as session:
                seen = await (await session._begun()).fetch("SELECT user_id FROM taskward.task")
            assert [row[0] for row in seen] == [user] * tasks


async def clean_up(superuser: Superuser) -> None:
    await superuser.execute("CALL citus_cleanup_orphaned_resources()")


async def shards_of_accounts(superuser: Superuser) -> list[tuple[int, str, int]]:
    """The first shard of each colocated group, and where it is."""
    rows = await superuser.fetch(
        "SELECT shardid, nodename, nodeport FROM citus_shards"
        " WHERE table_name = 'taskward.account'::regclass ORDER BY shardid"
    )
    return [tuple(row) for row in rows]


async def workers(superuser: Superuser) -> list[tuple[str, int]]:
    rows = await superuser.fetch("SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY groupid")
    return [(row[0], row[1]) for row in rows]


async def make_anew(server: str, url: str) -> None:
    """A database that knows nothing, on a server that does not know the roles either, in place of one that was removed.

    Args:
        server: A superuser's URL of its database `postgres`.
        url: Of the database, on another node.
    """
    name, roles = name_of(url), Roles.of(url)
    await execute(
        server,
        f"DROP DATABASE {name} WITH (FORCE)",
        f"DROP ROLE {roles.requests}, {roles.probe}, {roles.owner}",
        f"CREATE DATABASE {name}",
    )
    await execute(server.removesuffix("postgres") + name, "CREATE EXTENSION citus")


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_moved_keeps_its_protection_and_loses_no_write(
    citus: str, url: str, superuser: Superuser, mode: str
):
    both = await workers(superuser)
    async with written_to(url) as has:
        for shard, host, port in await shards_of_accounts(superuser):
            (to,) = (place for place in both if place != (host, port))
            await superuser.execute(
                f"SELECT citus_move_shard_placement({shard}, '{host}', {port}, '{to[0]}', {to[1]}, '{mode}')"
            )
    await clean_up(superuser)
    await assert_protected(citus, url)
    await each_sees_its_own(url, has)


# Otherwise Citus 14.0.1 sometimes waits for ever on PostgreSQL 18: "publisher did not send replica identity column".
MODE_OF_SPLITS = "block_writes"
# What waits for a split to end may be told that the shard is gone; what comes after it finds the new ones.
SPLIT = asyncpg.InternalServerError


async def test_what_is_split_keeps_its_protection_and_loses_no_write(citus: str, url: str, superuser: Superuser):
    (shard, *_), *_ = await shards_of_accounts(superuser)
    low, high = await superuser.fetchrow(  # type: ignore[misc]
        "SELECT shardminvalue::int, shardmaxvalue::int FROM pg_dist_shard WHERE shardid = $1", shard
    )
    nodes = await superuser.fetchval(
        "SELECT array_agg(nodeid ORDER BY nodeid)::text FROM pg_dist_node WHERE groupid > 0"
    )
    async with written_to(url, SPLIT) as has:
        await superuser.execute(
            f"SELECT citus_split_shard_by_split_points({shard}, ARRAY['{(low + high) // 2}'], '{nodes}',"
            f" '{MODE_OF_SPLITS}')"
        )
    await clean_up(superuser)
    assert len(await shards_of_accounts(superuser)) == SHARDS + 1
    await assert_protected(citus, url)
    await each_sees_its_own(url, has)


async def test_a_user_who_is_isolated_keeps_the_protection_and_loses_no_write(
    citus: str, url: str, superuser: Superuser
):
    user = USERS[3]
    async with written_to(url, SPLIT) as has:
        shard = await superuser.fetchval(
            f"SELECT isolate_tenant_to_new_shard('taskward.account', '{user}', 'CASCADE', '{MODE_OF_SPLITS}')"
        )
    await clean_up(superuser)
    place = f"SELECT get_shard_id_for_distribution_column('taskward.account', '{user}')"
    assert await superuser.fetchval(place) == shard
    await assert_protected(citus, url)
    await each_sees_its_own(url, has)


async def test_a_node_that_is_added_has_what_the_others_have_and_so_have_the_shards_that_come_to_it(
    citus: str, url: str, superuser: Superuser
):
    (host, port) = (await workers(superuser))[-1]
    await superuser.execute(f"SELECT citus_drain_node('{host}', {port}, 'block_writes')")
    await clean_up(superuser)
    await superuser.execute(f"SELECT citus_remove_node('{host}', {port})")
    await make_anew(at(citus, host, port, "postgres"), url)
    await superuser.execute(f"SELECT citus_add_node('{host}', {port})")
    # It is served all the same: nobody else can name what is in the schema.
    assert await problems(url) == {
        f"{host}:{port}": "others than requests may run the functions that tell which ids are in use;"
        " run: taskward migrate"
    }
    async with opened(url) as database:
        for user in USERS:
            await write_task(database, user)
    assert await migrate(parse_address(owners(url)), parse_address(url)) == []
    assert await problems(url) == {}
    await assert_protected(citus, url)
    async with written_to(url, each=2) as has:
        await superuser.execute("SELECT rebalance_table_shards(shard_transfer_mode => 'force_logical')")
    await clean_up(superuser)
    assert {place[1:] for place in await shards_of_accounts(superuser)} == set(await workers(superuser))
    await assert_protected(citus, url)
    await each_sees_its_own(url, has)


async def problems(url: str) -> dict[str, str]:
    """What has to be mended, by node."""
    connection = await connect(parse_address(url))
    try:
        return {node.name: node.problem for node in await check_nodes(connection) if node.problem}
    finally:
        await connection.close()


async def test_a_rebalance_in_the_background_keeps_the_protection(citus: str, url: str, superuser: Superuser):
    await superuser.execute("SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', false)"
                            " FROM pg_dist_node WHERE groupid = 2")  # fmt: skip
    async with written_to(url) as has:
        await superuser.execute(
            "SELECT citus_rebalance_start(drain_only => true, shard_transfer_mode => 'force_logical')"
        )
        await superuser.execute("SELECT citus_rebalance_wait()", timeout=120)
    await clean_up(superuser)
    assert len({place[1:] for place in await shards_of_accounts(superuser)}) == 1
    await assert_protected(citus, url)
    await each_sees_its_own(url, has)
