"""A database that was renamed, or made from another one, is brought in order by a migration; the other one goes on."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from taskward.identity import Owner
from taskward.storage.database import UnsafeRoleError
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import MigrationError, migrate
from taskward.storage.quoting import quote_identifier
from taskward.storage.roles import MissingPrivilegeError, RoleNames
from tests.databases import connected, execute, listed, name_of, opened, write_task
from tests.places import Place, place_fixture  # noqa: F401 - a fixture
from tests.test_migrate import catalogue

Way = Callable[[Place, str], Awaitable[str]]


async def _renamed(place: Place, url: str) -> str:
    name = place.expect(f"place_{secrets.token_hex(4)}")
    before = name_of(url)
    await execute(
        place.cluster.superuser, f"ALTER DATABASE {quote_identifier(before)} RENAME TO {quote_identifier(name)}"
    )
    return place.url(name, "taskward")


async def _cloned(place: Place, url: str) -> str:
    return await place.database(options=f"TEMPLATE {quote_identifier(name_of(url))}")


async def _swapped(place: Place, url: str) -> str:
    """Another database takes the name of this one, which takes the other's."""
    other = await place.database()
    await migrate(parse_address(other))
    first, second, between = name_of(url), name_of(other), f"place_{secrets.token_hex(4)}"
    names = ((first, between), (second, first), (between, second))
    await execute(place.cluster.superuser, *(f"ALTER DATABASE {old} RENAME TO {new}" for old, new in names))
    return other


WAYS: dict[str, Way] = {"renamed": _renamed, "cloned": _cloned, "swapped": _swapped}


async def shown(url: str, user: str) -> int:
    async with opened(url) as database, database.session(Owner(user)) as session:
        return len(await listed(session))


async def serves(url: str) -> None:
    """What was there is served to its owner and to nobody else, and what the login itself sees is nothing."""
    assert await shown(url, "alice") == 1
    assert await shown(url, "bob") == 0
    async with opened(url) as database:
        await write_task(database, "bob")
    assert (await shown(url, "alice"), await shown(url, "bob")) == (1, 1)
    names = RoleNames.of(name_of(url))
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM taskward.task") == 0
        assert not await connection.fetchval("SELECT pg_has_role($1, 'USAGE')", names.probe)
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {quote_identifier(names.requests)}")
            assert await connection.fetchval("SELECT count(*) FROM taskward.task") == 0
            # Somebody's id is known to the function, whoever asks.
            assert await connection.fetchval("SELECT taskward.task_ids_in_use(ARRAY[gen_random_uuid()])") is None


async def _begin(place: Place) -> str:
    url = await place.database()
    await migrate(parse_address(url))
    async with opened(url) as database:
        await write_task(database, "alice")
    return url


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
async def test_a_migration_brings_it_in_order(place: Place, way: str):
    url = await _begin(place)
    reference = sorted(await catalogue(await _migrated(place)))
    moved = await WAYS[way](place, url)
    with pytest.raises(UnsafeRoleError, match="taskward migrate"):
        await shown(moved, "alice")
    await migrate(parse_address(moved))
    assert sorted(await catalogue(moved)) == reference
    await serves(moved)
    await migrate(parse_address(moved))
    assert sorted(await catalogue(moved)) == reference


async def _migrated(place: Place) -> str:
    url = await place.database()
    await migrate(parse_address(url))
    return url


async def test_the_other_one_goes_on_and_is_what_it_was(place: Place):
    url = await _begin(place)
    before = await catalogue(url)
    clone = await _cloned(place, url)
    await migrate(parse_address(clone))
    await serves(clone)
    assert await catalogue(url) == before
    await serves(url)
    await migrate(parse_address(url))
    assert await catalogue(url) == before


async def test_both_that_have_changed_names_are_brought_in_order(place: Place):
    url = await _begin(place)
    other = await _swapped(place, url)
    # It has the first one's tasks now, and that one has none.
    await migrate(parse_address(other))
    await migrate(parse_address(url))
    await serves(other)
    assert await shown(url, "alice") == 0
    async with opened(url) as database:
        await write_task(database, "carol")
    assert await shown(url, "carol") == 1


async def test_the_roles_of_the_old_name_have_nothing_left_and_can_be_dropped(place: Place):
    url = await _begin(place)
    old = RoleNames.of(name_of(url))
    moved = await _renamed(place, url)
    await migrate(parse_address(moved))
    await execute(moved, *(f"DROP ROLE {quote_identifier(name)}" for name in (old.requests, old.probe)))
    await serves(moved)


async def test_who_was_let_into_the_old_roles_sees_nothing_by_them(place: Place):
    url = await _begin(place)
    old = RoleNames.of(name_of(url))
    moved = await _cloned(place, url)
    options = await _let_in(place)
    grants = (f"GRANT {name} TO taskward {options}" for name in (old.requests, old.probe))
    await execute(place.cluster.superuser, *grants)
    try:
        await migrate(parse_address(moved))
        await serves(moved)
        async with connected(moved) as connection:
            for name in (old.requests, old.probe):
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL ROLE {name}")
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.fetchval("SELECT count(id) FROM taskward.task")
    finally:
        await execute(place.cluster.superuser, f"REVOKE {old.probe} FROM taskward")


async def test_a_membership_in_the_probe_role_is_ended_or_told(place: Place):
    url = await _begin(place)
    probe = RoleNames.of(name_of(url)).probe
    await execute(place.cluster.superuser, f"GRANT {probe} TO taskward {await _let_in(place)}")
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT count(id) FROM taskward.task") == 1
    try:
        await migrate(parse_address(url))
    except MissingPrivilegeError as error:
        await execute(place.cluster.superuser, *_statements(error))
        await migrate(parse_address(url))
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT count(id) FROM taskward.task") == 0


async def test_an_owner_who_may_not_make_roles_is_told_what_is_missing(place: Place):
    url = await _begin(place)
    owner = await place.role()
    moved = await place.database(owner=owner, options=f"TEMPLATE {name_of(url)}")
    superuser = place.url(name_of(moved), "", superuser=True)
    with pytest.raises(MissingPrivilegeError, match="belongs to role taskward") as caught:
        await migrate(parse_address(moved))
    await execute(superuser, *_statements(caught.value))
    with pytest.raises(MissingPrivilegeError, match="may not create roles") as caught:
        await migrate(parse_address(moved))
    await execute(superuser, *_statements(caught.value))
    await migrate(parse_address(moved))
    await serves(moved)
    await serves(url)
    await execute(superuser, f"GRANT {RoleNames.of(name_of(moved)).probe} TO {owner} {await _let_in(place)}")
    with pytest.raises(MissingPrivilegeError, match="would see the rows of every user") as caught:
        await migrate(parse_address(moved))
    await execute(superuser, *_statements(caught.value))
    await migrate(parse_address(moved))
    async with connected(moved) as connection:
        assert await connection.fetchval("SELECT count(id) FROM taskward.task") == 0


async def test_another_owner_who_may_make_roles_is_told_what_is_missing(place: Place):
    url = await _begin(place)
    owner = await place.role("CREATEROLE")
    moved = await place.database(owner=owner, options=f"TEMPLATE {name_of(url)}")
    with pytest.raises(MissingPrivilegeError, match="belongs to role taskward") as caught:
        await migrate(parse_address(moved))
    await execute(place.url(name_of(moved), "", superuser=True), *_statements(caught.value))
    await migrate(parse_address(moved))
    await serves(moved)
    await serves(url)


async def test_requests_with_a_role_of_their_own_go_on(place: Place):
    url = await place.database()
    role = await place.role()
    await migrate(parse_address(url), parse_address(place.url(name_of(url), role)))
    async with opened(place.url(name_of(url), role)) as database:
        await write_task(database, "alice")
    moved = await _renamed(place, url)
    requests = place.url(name_of(moved), role)
    await migrate(parse_address(moved), parse_address(requests))
    assert await shown(requests, "alice") == 1
    assert await shown(requests, "bob") == 0


async def test_a_superuser_brings_it_in_order(place: Place):
    url = await _begin(place)
    moved = await _cloned(place, url)
    superuser = place.url(name_of(moved), "", superuser=True)
    await migrate(parse_address(superuser))
    assert await shown(superuser, "alice") == 1
    assert await shown(superuser, "bob") == 0
    await serves(url)


async def _let_in(place: Place) -> str:
    """What a grant must say for its member to act as the role, as each did before 16."""
    async with connected(place.cluster.superuser) as connection:
        version = await connection.fetchval("SELECT current_setting('server_version_num')::int")
    return "WITH SET TRUE, INHERIT TRUE" if version >= 160_000 else ""


def _statements(error: MigrationError | MissingPrivilegeError) -> list[str]:
    return re.findall(r"(?m)^  (.*);$", str(error))
