"""PostgreSQL's half of the isolation: policies, keys and grants, as the catalogue has them and as roles meet them."""

from __future__ import annotations

import asyncpg
import pytest

from taskward.database.connections import Connection
from taskward.database.database import Database
from taskward.database.roles import GRANTS, RoleNames
from taskward.identity import Owner
from tests.conftest import Cluster, connected

ROLES = RoleNames.of("taskward")
TABLES = ("account", "task", "tombstone")


async def counts(connection: Connection) -> list[int]:
    return [await connection.fetchval(f"SELECT count(*) FROM taskward.{table}") for table in TABLES]


# The catalogue


async def test_every_owned_table_forces_row_security_on_reads_and_writes(superuser: Connection):
    rows = await superuser.fetch(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,"
        " count(p.*) FILTER (WHERE p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL AND p.polcmd = '*'"
        "  AND pg_get_expr(p.polqual, c.oid) LIKE '%user_id = NULLIF(current_setting(%taskward.user_id%'"
        "  AND pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)) AS owner_policies,"
        " count(p.*) FILTER (WHERE p.polname <> 'owner') AS others"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
        " LEFT JOIN pg_policy p ON p.polrelid = c.oid"
        " WHERE c.relnamespace = 'taskward'::regnamespace AND c.relkind IN ('r', 'p') GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("account", True, True, 1, 0),
        ("task", True, True, 1, 1),  # the probe's
        ("tombstone", True, True, 1, 0),
    ]


async def test_every_key_contains_the_owner(superuser: Connection):
    rows = await superuser.fetch(
        "SELECT i.indexrelid::regclass::text AS name, a.attname AS first FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE c.relnamespace = 'taskward'::regnamespace AND i.indisunique AND c.relname <> 'alembic_version'"
    )
    assert {row["name"] for row in rows if row["first"] != "user_id"} == set()
    assert len(rows) == 5


async def test_every_foreign_key_contains_the_owner(superuser: Connection):
    crossing = await superuser.fetch(
        "SELECT conname FROM pg_constraint c WHERE c.connamespace = 'taskward'::regnamespace AND c.contype = 'f'"
        " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
        " AND a.attname = 'user_id')"
    )
    assert crossing == []


async def test_there_is_no_trigger_and_no_rule(superuser: Connection):
    assert (
        await superuser.fetchval(
            "SELECT (SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = 'taskward'::regnamespace)"
            " + (SELECT count(*) FROM pg_rules WHERE schemaname = 'taskward')"
        )
        == 0
    )


_GRANTED = """
SELECT c.relname::text AS what, a.privilege_type AS verb, NULL AS part, a.grantee, a.is_grantable
FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'taskward'::regnamespace
UNION ALL
SELECT c.relname, a.privilege_type, t.attname, a.grantee, a.is_grantable
FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
WHERE c.relnamespace = 'taskward'::regnamespace
UNION ALL
SELECT p.proname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace = 'taskward'::regnamespace
UNION ALL
SELECT n.nspname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'taskward'
"""


async def granted(connection: Connection, role: str) -> set[tuple[str, str, str | None, bool]]:
    rows = await connection.fetch(
        f"SELECT what, verb, part, is_grantable FROM ({_GRANTED}) g WHERE grantee = "
        "CASE WHEN $1 = 'public' THEN 0 ELSE (SELECT oid FROM pg_roles WHERE rolname = $1) END",
        role,
    )
    return {tuple(row) for row in rows}


async def test_the_requests_role_has_exactly_its_grants(superuser: Connection):
    expected: set[tuple[str, str, str | None, bool]] = {
        (table, verb, column, False)
        for table, verbs in GRANTS.items()
        for verb, columns in verbs.items()
        for column in (columns or (None,))
    }
    expected |= {("taskward", "USAGE", None, False), ("task_exists", "EXECUTE", None, False)}
    assert await granted(superuser, ROLES.requests) == expected


async def test_the_probe_role_may_read_ids_and_run_its_function_only(superuser: Connection):
    assert await granted(superuser, ROLES.probe) == {
        ("taskward", "USAGE", None, False), ("task", "SELECT", "id", False), ("task_exists", "EXECUTE", None, False),
    }  # fmt: skip


async def test_everybody_else_has_nothing(superuser: Connection):
    assert await granted(superuser, "public") == set()


async def test_the_probe_function_is_fixed_and_belongs_to_the_probe_role(superuser: Connection):
    row = await superuser.fetchrow(
        "SELECT prosecdef, proowner::regrole::text AS owner, proconfig FROM pg_proc"
        " WHERE oid = 'taskward.task_exists(uuid)'::regprocedure"
    )
    assert row is not None
    assert (row["prosecdef"], row["owner"]) == (True, ROLES.probe)
    assert row["proconfig"] == ["search_path=pg_catalog, pg_temp"]


async def test_both_roles_have_no_attribute_and_are_member_of_nothing(superuser: Connection):
    for role in (ROLES.requests, ROLES.probe):
        assert await superuser.fetchval(
            "SELECT NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolcanlogin OR rolreplication OR rolbypassrls"
            " OR rolinherit OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid))"
            " FROM pg_roles r WHERE rolname = $1", role,
        )  # fmt: skip


# What a role can do


@pytest.mark.usefixtures("two_users")
@pytest.mark.parametrize("setting", ["SELECT", "SELECT set_config('taskward.user_id', '', true)"])
async def test_without_an_owner_no_row_is_seen(cluster: Cluster, template: str, setting: str):
    async with connected(cluster.url(template)) as login:
        for role in (f"SET LOCAL ROLE {ROLES.requests};", ""):  # the login role owns the tables
            async with login.transaction():
                await login.execute(f"{role}{setting}")
                assert await counts(login) == [0, 0, 0]


@pytest.mark.parametrize("change", ["id = gen_random_uuid()", "user_id = 'x'", "created_at = now()"])
async def test_what_must_not_change_cannot_be_changed(database: Database, two_users: tuple[str, str], change: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for table"):
        async with database.session(Owner(two_users[0])) as session:
            await session._connection.execute(f"UPDATE taskward.task SET {change}")


@pytest.mark.parametrize("table", TABLES)
async def test_nobodys_row_can_be_made_anothers_and_only_tasks_can_be_deleted(superuser: Connection, table: str):
    rights = await superuser.fetchrow(
        "SELECT has_column_privilege($1, $2, 'user_id', 'UPDATE'), has_table_privilege($1, $2, 'DELETE'),"
        " has_table_privilege($1, $2, 'TRUNCATE')", ROLES.requests, f"taskward.{table}",
    )  # fmt: skip
    assert rights is not None
    assert tuple(rights) == (False, table == "task", False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM taskward.alembic_version FOR UPDATE",
        "UPDATE taskward.alembic_version SET version_num = ''",
        "TRUNCATE taskward.task",
        "DELETE FROM taskward.account",
        "CREATE TABLE taskward.mine (user_id text)",
        "ALTER TABLE taskward.task DISABLE ROW LEVEL SECURITY",
        f"SET ROLE {ROLES.probe}",
    ],
)
async def test_the_requests_role_may_not(database: Database, statement: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.session(Owner("erin")) as session:
            await session._connection.execute(statement)


async def test_no_row_of_another_can_be_inserted(database: Database, two_users: tuple[str, str]):
    carol, dave = two_users
    for table, columns, values in (
        ("account", "clock", "1"), ("task", "id, title, version", "gen_random_uuid(), 'x', 9"),
        ("tombstone", "id, version", "gen_random_uuid(), 9"),
    ):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with database.session(Owner(carol)) as session:
                await session._connection.execute(
                    f"INSERT INTO taskward.{table} (user_id, {columns}) VALUES ('{dave}', {values})"
                )


@pytest.mark.usefixtures("two_users")
async def test_the_probe_role_sees_ids_only(superuser: Connection):
    async with superuser.transaction():
        await superuser.execute(f"SET LOCAL ROLE {ROLES.probe}")
        assert await superuser.fetchval("SELECT count(id) FROM taskward.task") >= 2
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with superuser.transaction():
                await superuser.fetch("SELECT user_id FROM taskward.task")


@pytest.mark.usefixtures("two_users")
async def test_the_login_role_keeps_no_way_into_the_probe_role(cluster: Cluster, template: str):
    async with connected(cluster.url(template)) as login:
        assert not await login.fetchval("SELECT pg_has_role(current_user, $1, 'USAGE')", ROLES.probe)
        assert not await login.fetchval("SELECT pg_has_role(current_user, $1, 'SET')", ROLES.probe)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await login.execute(f"SET ROLE {ROLES.probe}")
