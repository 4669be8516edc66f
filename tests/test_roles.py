"""Which roles may serve requests, which are made, and what is asked of whoever may make them. On 18 and on 15."""

from __future__ import annotations

import re
import secrets

import asyncpg
import pytest

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.storage.database import UnsafeRoleError
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import MigrationError, migrate
from taskward.storage.roles import MissingPrivilegeError, RoleNames
from tests.databases import connected, execute, listed, name_of, opened, read_tasks, write_task
from tests.places import Place, place_fixture  # noqa: F401 - a fixture


async def with_dedicated_role(place: Place) -> tuple[str, str]:
    """A database whose requests have a role of their own, so that there is none to switch to."""
    owner = await place.database()
    role = await place.role()
    await migrate(parse_address(owner), parse_address(place.url(name_of(owner), role)))
    return owner, role


async def serves(url: str) -> str | None:
    """Write as one user and read as another; returns the role that is switched to."""
    async with opened(url) as database:
        mine = await write_task(database, "alice")
        async with database.session(Owner("bob")) as session:
            assert await listed(session) == []
            assert await (await session._begun()).fetchval("SELECT count(*) FROM taskward.task") == 0
        async with database.session(Owner("alice")) as session:
            assert await listed(session) == [mine]
        return database.pool.role


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ("SUPERUSER", "is a superuser"),
        ("BYPASSRLS", "bypasses row-level security"),
        ("REPLICATION", "may replicate the whole cluster"),
        ("CREATEROLE", "may make roles"),
    ],
)
@pytest.mark.parametrize("how", ["itself", "member", "member of a member", "member that does not inherit"])
async def test_a_role_that_could_get_around_policies_does_not_serve(
    place: Place, attributes: str, reason: str, how: str
):
    owner, _ = await with_dedicated_role(place)
    unsafe = role = await place.role(attributes)
    if how == "member":
        role = await place.role(member_of=unsafe)
    elif how == "member of a member":
        role = await place.role(member_of=await place.role(member_of=unsafe))
    elif how == "member that does not inherit":
        role = await place.role("NOINHERIT", member_of=unsafe)
    with pytest.raises(UnsafeRoleError, match=reason) as caught:
        await serves(place.url(name_of(owner), role))
    assert unsafe in str(caught.value)


@pytest.mark.parametrize(
    "group", ["pg_write_server_files", "pg_read_server_files", "pg_execute_server_program", "owner", "probe"]
)
async def test_a_member_of_a_powerful_group_does_not_serve(place: Place, group: str):
    owner, _ = await with_dedicated_role(place)
    names = {"owner": "taskward", "probe": RoleNames.of(name_of(owner)).probe}
    role = await place.role("NOINHERIT", member_of=names.get(group, group))
    with pytest.raises(UnsafeRoleError, match="is a member of"):
        await serves(place.url(name_of(owner), role))


async def test_the_owner_of_one_table_does_not_serve(place: Place):
    owner, role = await with_dedicated_role(place)
    superuser = place.url(name_of(owner), "", superuser=True)
    await execute(superuser, f"ALTER TABLE taskward.tombstone OWNER TO {role}")
    with pytest.raises(UnsafeRoleError, match=f"role {role} owns the tables"):
        await serves(place.url(name_of(owner), role))


async def test_the_owner_of_the_schema_does_not_serve(place: Place):
    owner, role = await with_dedicated_role(place)
    superuser = place.url(name_of(owner), "", superuser=True)
    await execute(superuser, f"ALTER SCHEMA taskward OWNER TO {role}")
    with pytest.raises(UnsafeRoleError, match=f"role {role} owns the tables"):
        await serves(place.url(name_of(owner), role))


async def test_the_owner_without_a_role_to_switch_to_does_not_serve(place: Place):
    owner, _ = await with_dedicated_role(place)
    with pytest.raises(UnsafeRoleError, match="is not there to switch to"):
        await serves(owner)


async def test_a_requests_role_that_became_powerful_does_not_serve(place: Place):
    owner = await place.database()
    await migrate(parse_address(owner))
    await execute(place.cluster.superuser, f"ALTER ROLE {RoleNames.of(name_of(owner)).requests} BYPASSRLS")
    with pytest.raises(UnsafeRoleError, match="bypasses row-level security"):
        await serves(owner)


async def test_an_owner_who_may_make_roles_switches(place: Place):
    owner = await place.database()
    await migrate(parse_address(owner))
    assert await serves(owner) == RoleNames.of(name_of(owner)).requests


async def test_a_superuser_switches_too(place: Place):
    owner = await place.database()
    superuser = place.url(name_of(owner), "", superuser=True)
    await migrate(parse_address(superuser))
    assert await serves(superuser) == RoleNames.of(name_of(owner)).requests


async def test_a_safe_role_of_its_own_serves_as_itself(place: Place):
    owner, role = await with_dedicated_role(place)
    assert await serves(place.url(name_of(owner), role)) is None
    async with connected(owner) as connection:
        made = await connection.fetchval(
            "SELECT count(*) FROM pg_roles WHERE rolname = $1", RoleNames.of(name_of(owner)).requests
        )
    assert made == 0


async def test_an_unsafe_role_of_its_own_gets_one_to_switch_to(place: Place):
    owner = await place.database()
    url = place.url(name_of(owner), await place.role("BYPASSRLS"))
    await migrate(parse_address(owner), parse_address(url))
    assert await serves(url) == RoleNames.of(name_of(owner)).requests


@pytest.mark.parametrize("dedicated", [False, True])
async def test_without_the_right_to_make_roles_the_printed_sql_is_enough(place: Place, dedicated: bool):
    role = await place.role(name=f'Ow"ner {secrets.token_hex(4)}')
    owner = await place.database(owner=role)
    login = place.url(name_of(owner), await place.role()) if dedicated else owner
    requests = parse_address(login) if dedicated else None
    with pytest.raises(MissingPrivilegeError, match="may not create roles") as caught:
        await migrate(parse_address(owner), requests)
    sql = str(caught.value).partition("\n")[2]
    assert ('CREATE ROLE "taskward_requests_' in sql) is not dedicated
    await execute(place.url(name_of(owner), "", superuser=True), *filter(str.strip, sql.split(";\n  ")))
    for _ in range(2):  # once made, they are enough for every later migration
        await migrate(parse_address(owner), requests)
    await serves(login)
    async with connected(owner) as connection:
        assert await connection.fetchval("SELECT count(*) FROM taskward.task") == 0
        for right in ("USAGE", "SET" if connection.get_server_version().major >= 16 else "MEMBER"):
            assert not await connection.fetchval(
                "SELECT pg_has_role(current_user, $1, $2)", RoleNames.of(name_of(owner)).probe, right
            )


async def test_roles_of_one_database_have_no_rights_in_another(place: Place):
    one, two = await place.database(), await place.database()
    for url in (one, two):
        await migrate(parse_address(url))
        await serves(url)
    async with connected(two) as connection:
        for role in (RoleNames.of(name_of(one)).requests, RoleNames.of(name_of(one)).probe):
            assert not await connection.fetchval("SELECT has_schema_privilege($1, 'taskward', 'USAGE')", role)
        await connection.execute(f"SET ROLE {RoleNames.of(name_of(one)).requests}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT FROM taskward.task")


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["l" * 63, "ÄöÜ" * 10, "My-Tasks", 'quo"ted', "it's", "with space", "percent%41", "a;b", "$1", "back\\slash"],
)
async def test_any_database_name_works(place: Place, name: str):
    url = await place.database(name)
    for _ in range(2):
        await migrate(parse_address(url))
    await serves(url)


def test_long_names_keep_apart():
    long = [RoleNames.of("l" * 62 + end) for end in "ab"]
    names = {name for pair in long for name in (pair.requests, pair.probe)}
    assert len(names) == 4
    assert all(len(name.encode()) <= 63 for name in names)


def test_a_name_of_the_longest_readable_length_is_kept():
    assert re.fullmatch(r"taskward_requests_l{45}", RoleNames.of("l" * 45).requests)
    assert "lll" not in RoleNames.of("l" * 46).requests


# EUC_JP stores the two bars U+00A6 and U+FFE4 alike: users whose ids differ in nothing else would share their tasks.
@pytest.mark.parametrize("encoding", ["EUC_JP", "SQL_ASCII", "LATIN1"])
async def test_a_database_that_does_not_keep_every_character_apart_is_refused(place: Place, encoding: str):
    options = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    url = await place.database(options=f"{options} LOCALE_PROVIDER libc")
    with pytest.raises(MigrationError, match=f"encoding is {encoding}, and UTF8 is needed"):
        await migrate(parse_address(url))
    await execute(url, "CREATE SCHEMA taskward")  # as if restored from elsewhere; without it, there is nothing to serve
    with pytest.raises(UnsafeRoleError, match=f"encoding is {encoding}"):
        await serves(url)


async def test_requests_whose_role_has_lost_its_rights_are_told_to_come_back(place: Place):
    owner, role = await with_dedicated_role(place)
    async with opened(place.url(name_of(owner), role)) as database:
        await write_task(database, "alice")
        await execute(owner, f"REVOKE ALL ON ALL TABLES IN SCHEMA taskward FROM {role}")
        with pytest.raises(Unavailable):
            await write_task(database, "alice")
        with pytest.raises(Unavailable):
            await read_tasks(database, Owner("alice"))


async def test_a_row_that_policies_refuse_is_a_fault_of_ours(place: Place):
    owner, role = await with_dedicated_role(place)
    async with opened(place.url(name_of(owner), role)) as database:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with database.session(Owner("alice")) as session:
                await (await session._begun()).execute(
                    "INSERT INTO taskward.account (user_id, clock) VALUES ('bob', 1)"
                )
