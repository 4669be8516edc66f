"""PostgreSQL's half of the isolation: policies, keys and grants, as the catalogue has them and as roles meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from taskward.identity import Owner
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.pool import Connection
from taskward.storage.roles import RoleNames
from taskward.storage.session import constraint_of
from taskward.storage.tables import probed_tables, rights
from tests.citus import CITUS_URL
from tests.clusters import Cluster
from tests.databases import connected

# Those whose ids appear in paths.
PROBED = tuple(probed_tables())
FUNCTIONS = tuple(f"{table}_ids_in_use" for table in PROBED)
# What else a row of each table needs. That these are all tables is held against the catalogue below.
ROWS = {
    "account": ("clock", "1"),
    "list": ("id, name, version", "gen_random_uuid(), 'x', 9"),
    "task": ("id, title, folded_title, version", "gen_random_uuid(), 'x', 'x', 9"),
    "tombstone": ("kind, id, version", "'task', gen_random_uuid(), 9"),
    "stored_answer": ("key, request", "'key', '\\x00'"),
    "imported_file": ("digest, ids", "'\\x00', '{}'"),
}
TABLES = tuple(ROWS)
NEVER = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def roles(cluster: Cluster, template: str) -> RoleNames:
    """Of the session's database; on a Citus cluster, requests run as the role that they log in as."""
    names = RoleNames.of(template)
    login = urlsplit(cluster.owner).username
    return replace(names, requests=login) if CITUS_URL and login else names


async def counts(connection: Connection) -> set[int]:
    return {await connection.fetchval(f"SELECT count(*) FROM taskward.{table}") for table in TABLES}


# The catalogue. It is asked what there is, so that nothing can be added without being looked at here.

OWNER = "(user_id = NULLIF(current_setting('taskward.user_id'::text, true), ''::text))"
WITHOUT_OWNER = {"alembic_version"}
IN_SCHEMA = "= 'taskward'::regnamespace"
OWNER_OF_TABLES = f"SELECT relowner::regrole FROM pg_class WHERE relname = 'task' AND relnamespace {IN_SCHEMA}"


@dataclass(frozen=True)
class Catalogue:
    """The catalogue of a migrated database, read by a superuser.

    Attributes:
        login: The URL of the role that migrated it and that requests log in as.
    """

    superuser: Connection
    login: str

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.superuser.fetch(query, *arguments)]

    async def owned(self) -> set[str]:
        """The tables that have an owner's column."""
        found = await self.rows(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
            f" WHERE c.relnamespace {IN_SCHEMA} AND c.relkind IN ('r', 'p')"
        )
        return {name for (name,) in found}


@pytest.fixture(scope="module", params=["cluster", pytest.param("cluster_15", marks=pytest.mark.processes)])
def each_cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
async def catalogue(each_cluster: Cluster) -> AsyncIterator[Catalogue]:
    """The catalogue as the newest PostgreSQL has it, and as the oldest."""
    if CITUS_URL:
        pytest.skip("of a cluster, the catalogue of every node counts: see test_citus.py")
    await migrate(parse_address(each_cluster.owner))
    async with connected(each_cluster.url("taskward", superuser=True)) as superuser:
        yield Catalogue(superuser, each_cluster.owner)


async def test_every_table_has_an_owner_save_those_that_are_listed(catalogue: Catalogue):
    rows = await catalogue.rows(
        f"SELECT relname FROM pg_class WHERE relnamespace {IN_SCHEMA} AND relkind IN ('r', 'p')"
    )
    tables, owned = {name for (name,) in rows}, await catalogue.owned()
    assert tables - owned == WITHOUT_OWNER
    assert owned == ROWS.keys()
    assert tables == rights().keys()


async def test_there_are_only_tables_their_indexes_and_their_types(catalogue: Catalogue):
    kinds = await catalogue.rows(f"SELECT DISTINCT relkind FROM pg_class WHERE relnamespace {IN_SCHEMA} ORDER BY 1")
    assert kinds == [(b"i",), (b"r",)]  # no view, no sequence, no foreign or partitioned table
    for found in (
        f"pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace {IN_SCHEMA} AND NOT t.tgisinternal",
        f"pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace {IN_SCHEMA}",
        f"pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relnamespace {IN_SCHEMA}",
        f"pg_type WHERE typnamespace {IN_SCHEMA} AND typtype <> 'c' AND typelem = 0",
        f"pg_operator WHERE oprnamespace {IN_SCHEMA}",
        "pg_event_trigger",
        "pg_publication",
    ):
        assert await catalogue.rows(f"SELECT * FROM {found}") == [], found


async def test_the_owners_column_is_compared_byte_by_byte_and_is_never_empty(catalogue: Catalogue):
    columns = await catalogue.rows(
        "SELECT c.relname, a.atttypid::regtype::text, l.collname, a.attnotnull FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
        f" LEFT JOIN pg_collation l ON l.oid = a.attcollation WHERE c.relnamespace {IN_SCHEMA} AND c.relkind = 'r'"
    )
    assert set(columns) == {(table, "text", "C", True) for table in await catalogue.owned()}


async def test_every_owned_table_forces_row_security(catalogue: Catalogue):
    rows = await catalogue.rows(
        f"SELECT relname FROM pg_class WHERE relnamespace {IN_SCHEMA} AND relrowsecurity AND relforcerowsecurity"
    )
    assert {name for (name,) in rows} == await catalogue.owned() != set()


async def test_every_owned_table_has_the_owners_policy_and_no_other_save_the_probes(
    catalogue: Catalogue, roles: RoleNames
):
    rows = await catalogue.rows(
        "SELECT c.relname, p.polname, p.polpermissive, p.polcmd,"
        " ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(p.polroles) r),"
        " pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)"
        " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
    )
    expected = [(table, "owner", True, b"*", ["public"], OWNER, OWNER) for table in await catalogue.owned()]
    expected += [(table, "probe", True, b"r", [roles.probe], "true", None) for table in PROBED]  # type: ignore[misc]
    assert sorted(rows, key=str) == sorted(expected, key=str)


async def test_every_key_begins_with_the_owner_and_every_table_has_one(catalogue: Catalogue):
    keys = await catalogue.rows(
        "SELECT c.relname, i.indexrelid::regclass::text, a.attname, i.indisprimary FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indrelid"
        " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        f" WHERE c.relnamespace {IN_SCHEMA} AND (i.indisunique OR i.indisexclusion)"
    )
    owned = await catalogue.owned()
    assert [key for key in keys if key[0] in owned and key[2] != "user_id"] == []
    assert {table for table, _, _, primary in keys if primary} >= owned


async def test_every_constraint_that_spans_rows_contains_the_owner_on_both_its_sides(catalogue: Catalogue):
    constraints = await catalogue.rows(
        "SELECT k.conname, k.contype, c.relname, f.relname,"
        " ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, place)"
        "  JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n ORDER BY place),"
        " ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, place)"
        "  JOIN pg_attribute ON attrelid = k.confrelid AND attnum = n ORDER BY place)"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_class f ON f.oid = k.confrelid"
        f" WHERE k.connamespace {IN_SCHEMA} AND k.contype NOT IN ('c', 'n')"
    )
    owned = await catalogue.owned()
    assert {table for _, _, table, *_ in constraints} >= owned
    for name, kind, table, other, own_columns, others_columns in constraints:
        assert kind in {b"p", b"u", b"f"}, name
        if table in owned:
            assert own_columns[0] == "user_id", name
        if kind == b"f":
            assert {table, other} <= owned, name
            assert others_columns[0] == "user_id", name


# Everything that can be granted in a database, wherever it is; what nothing was ever granted on, has its defaults.
GRANTED = """
SELECT c.relnamespace AS place, c.relname::text AS what, a.privilege_type AS verb, NULL::name AS part, a.grantee,
  a.is_grantable
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault(
  CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
UNION ALL
SELECT c.relnamespace, c.relname, a.privilege_type, t.attname, a.grantee, a.is_grantable
FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
UNION ALL
SELECT p.pronamespace, p.proname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
UNION ALL
SELECT n.oid, n.nspname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
UNION ALL
SELECT NULL, d.datname, a.privilege_type, NULL, a.grantee, a.is_grantable FROM pg_database d, aclexplode(d.datacl) a
UNION ALL
SELECT t.typnamespace, t.typname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_type t, aclexplode(t.typacl) a
UNION ALL
SELECT NULL, s.srvname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_foreign_server s, aclexplode(s.srvacl) a
UNION ALL
SELECT NULL, f.fdwname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_foreign_data_wrapper f, aclexplode(f.fdwacl) a
UNION ALL
SELECT NULL, l.lanname, a.privilege_type, NULL, a.grantee, a.is_grantable FROM pg_language l, aclexplode(l.lanacl) a
UNION ALL
SELECT NULL, s.spcname, a.privilege_type, NULL, a.grantee, a.is_grantable FROM pg_tablespace s, aclexplode(s.spcacl) a
UNION ALL
SELECT NULL, p.parname, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_parameter_acl p, aclexplode(p.paracl) a
UNION ALL
SELECT NULL, m.oid::text, a.privilege_type, NULL, a.grantee, a.is_grantable
FROM pg_largeobject_metadata m, aclexplode(m.lomacl) a
"""


async def granted(catalogue: Catalogue, role: str) -> set[tuple[Any, ...]]:
    rows = await catalogue.rows(
        f"SELECT what, verb, part, is_grantable FROM ({GRANTED}) g"
        " WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)", role,
    )  # fmt: skip
    return set(rows)


async def test_the_requests_role_has_exactly_its_grants_in_the_whole_database(catalogue: Catalogue, roles: RoleNames):
    expected: set[tuple[Any, ...]] = {
        (table, verb, column, False)
        for table, verbs in rights().items()
        for verb, columns in verbs.items()
        for column in (columns or (None,))
    }
    expected |= {("taskward", "USAGE", None, False), *((name, "EXECUTE", None, False) for name in FUNCTIONS)}
    assert await granted(catalogue, roles.requests) == expected


async def test_no_right_is_on_a_whole_table_but_to_delete_and_none_changes_whose_a_row_is(
    catalogue: Catalogue, roles: RoleNames
):
    whole = await catalogue.rows(
        f"SELECT what, verb FROM ({GRANTED}) g WHERE place {IN_SCHEMA} AND part IS NULL"
        " AND grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)", roles.requests,
    )  # fmt: skip
    assert set(whole) == {
        ("taskward", "USAGE"), *((table, "DELETE") for table in TABLES), *((name, "EXECUTE") for name in FUNCTIONS),
    }  # fmt: skip
    fixed = {"user_id", "id", "created_at", "kind", "key", "request", "digest"}
    changed = await catalogue.rows(
        f"SELECT part FROM ({GRANTED}) g WHERE place {IN_SCHEMA} AND verb = 'UPDATE' AND part = ANY ($2)"
        " AND grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)", roles.requests, sorted(fixed),
    )  # fmt: skip
    assert changed == []


async def test_the_probe_role_may_read_ids_and_run_its_functions_only(catalogue: Catalogue, roles: RoleNames):
    assert await granted(catalogue, roles.probe) == {
        ("taskward", "USAGE", None, False),
        *((table, "SELECT", "id", False) for table in PROBED),
        *((name, "EXECUTE", None, False) for name in FUNCTIONS),
    }  # fmt: skip


async def test_nobody_else_has_anything_in_the_schema(catalogue: Catalogue, roles: RoleNames):
    grantees = await catalogue.rows(
        "SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END"
        f" FROM ({GRANTED}) g WHERE place {IN_SCHEMA} OR what = 'taskward' AND place IS NOT NULL"
    )
    assert {name for (name,) in grantees} == {"taskward", roles.requests, roles.probe}
    assert await catalogue.rows("SELECT * FROM pg_default_acl") == []


async def test_the_only_functions_are_the_probes_which_are_fixed_and_belong_to_the_probe_role(
    catalogue: Catalogue, roles: RoleNames
):
    functions = await catalogue.rows(
        "SELECT pronamespace::regnamespace::text, oid::regprocedure::text, prorettype::regtype::text, prosecdef,"
        " proleakproof, proowner::regrole::text, proconfig FROM pg_proc"
        f" WHERE pronamespace {IN_SCHEMA} OR prosecdef ORDER BY 2"
    )
    assert functions == [
        (
            "taskward",
            f"taskward.{name}(uuid[])",
            "uuid[]",
            True,
            False,
            roles.probe,
            ["search_path=pg_catalog, pg_temp"],
        )
        for name in FUNCTIONS
    ]


async def test_both_roles_have_no_attribute_own_nothing_more_and_are_member_of_nothing(
    catalogue: Catalogue, roles: RoleNames
):
    for role in (roles.requests, roles.probe):
        assert await catalogue.superuser.fetchval(
            "SELECT NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolcanlogin OR rolreplication OR rolbypassrls"
            " OR rolinherit OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid))"
            " FROM pg_roles r WHERE rolname = $1", role,
        )  # fmt: skip
    owning = await catalogue.rows(
        "SELECT refobjid::regrole::text, classid::regclass::text, objid::regprocedure::text"
        " FROM pg_shdepend WHERE deptype = 'o' AND refobjid::regrole::text = ANY ($1)"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 3",
        [roles.requests, roles.probe],
    )
    assert owning == [(roles.probe, "pg_proc", f"taskward.{name}(uuid[])") for name in FUNCTIONS]


async def test_the_login_role_keeps_no_way_into_the_probe_role(catalogue: Catalogue, roles: RoleNames):
    async with connected(catalogue.login) as login:
        assert not await login.fetchval("SELECT pg_has_role(current_user, $1, 'USAGE')", roles.probe)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await login.execute(f"SET ROLE {roles.probe}")


# What a role can do


async def insert(connection: Connection, table: str, user_id: str) -> str:
    columns, values = ROWS[table]
    return await connection.execute(
        f"INSERT INTO taskward.{table} (user_id, {columns}) VALUES ($1, {values}) ON CONFLICT DO NOTHING", user_id
    )


@pytest.fixture
async def rows_of_two(superuser: Connection, two_users: tuple[str, str]) -> tuple[str, str]:
    """The ids of two users who have a row or two in each table, and as many."""
    for user_id in two_users:
        for table in TABLES:
            await insert(superuser, table, user_id)
    return two_users


@pytest.mark.usefixtures("rows_of_two")
@pytest.mark.parametrize("setting", ["SELECT", "SELECT set_config('taskward.user_id', '', true)"])
async def test_without_an_owner_no_row_is_seen(
    cluster: Cluster, template: str, superuser: Connection, roles: RoleNames, setting: str
):
    async with connected(cluster.url(template)) as login:
        for role in (f"SET LOCAL ROLE {roles.requests};", ""):  # on one machine, the login role owns the tables
            async with login.transaction():
                await login.execute(f"{role}{setting}")
                assert await counts(login) == {0}
    if CITUS_URL:
        # There it is not bound, or no shard could move; requests are never the owner, which `doctor` asks every node.
        return
    async with superuser.transaction():
        await superuser.execute(f"SET LOCAL ROLE {await superuser.fetchval(OWNER_OF_TABLES)}")
        await superuser.execute(setting)
        assert await counts(superuser) == {0}


@pytest.mark.parametrize("table", TABLES)
async def test_of_every_table_only_the_owners_rows_are_seen_changed_and_deleted(
    superuser: Connection, database: Database, rows_of_two: tuple[str, str], table: str
):
    carol, dave = rows_of_two
    theirs = f"SELECT x::text FROM taskward.{table} x WHERE user_id = $1 ORDER BY 1"
    before, mine = await superuser.fetch(theirs, dave), await superuser.fetch(theirs, carol)
    assert len(before) == len(mine) > 0
    async with database.session(Owner(carol)) as session:
        connection = await session._begun()
        seen = await connection.fetch(f"SELECT user_id FROM taskward.{table}")
        assert {row["user_id"] for row in seen} == {carol}
        assert len(seen) == len(mine)
        assert await connection.fetch(f"SELECT FROM taskward.{table} WHERE user_id = $1", dave) == []
        changes = rights()[table].get("UPDATE", ())
        for column in changes:
            tag = await connection.execute(f"UPDATE taskward.{table} SET {column} = {column} WHERE user_id = $1", dave)
            assert tag == "UPDATE 0", column
            assert await connection.execute(f"UPDATE taskward.{table} SET {column} = {column}") == f"UPDATE {len(mine)}"
        assert await connection.execute(f"DELETE FROM taskward.{table} WHERE user_id = $1", dave) == "DELETE 0"
        assert await connection.execute(f"DELETE FROM taskward.{table}") == f"DELETE {len(mine)}"
    assert await superuser.fetch(theirs, dave) == before


@pytest.mark.parametrize("change", [f"id = '{NEVER}'", "user_id = 'x'", "created_at = now()"])
@pytest.mark.parametrize("table", TABLES)
async def test_what_must_not_change_cannot_be_changed(
    database: Database, rows_of_two: tuple[str, str], table: str, change: str
):
    if change.startswith("id") and table not in {"task", "list", "tombstone"}:
        change = {"stored_answer": "key = 'x'", "imported_file": "digest = ''"}.get(table, f"epoch = '{NEVER}'")
    refused: type[asyncpg.PostgresError] = asyncpg.InsufficientPrivilegeError
    message = "permission denied for table"
    if CITUS_URL and change.startswith("user_id"):
        # A Citus coordinator asks no node for that.
        refused, message = asyncpg.FeatureNotSupportedError, "modifying the partition value of rows is not allowed"
    async with database.session(Owner(rows_of_two[0])) as session:
        connection = await session._begun()
        with pytest.raises(refused, match=message):
            await connection.execute(f"UPDATE taskward.{table} SET {change}")
        await session.roll_back()


@pytest.mark.parametrize("table", TABLES)
async def test_nobodys_row_can_be_made_anothers_and_no_table_can_be_emptied(
    superuser: Connection, table: str, roles: RoleNames
):
    rights = await superuser.fetchrow(
        "SELECT has_column_privilege($1, $2, 'user_id', 'UPDATE'), has_table_privilege($1, $2, 'DELETE'),"
        " has_table_privilege($1, $2, 'TRUNCATE')", roles.requests, f"taskward.{table}",
    )  # fmt: skip
    assert rights is not None
    assert tuple(rights) == (False, True, False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM taskward.alembic_version FOR UPDATE",
        "UPDATE taskward.alembic_version SET version_num = ''",
        *(f"TRUNCATE taskward.{table}" for table in TABLES),
        "DELETE FROM taskward.alembic_version",
        *(f"ALTER TABLE taskward.{table} DISABLE ROW LEVEL SECURITY" for table in TABLES),
        *(f"ALTER FUNCTION taskward.{name} SECURITY INVOKER" for name in FUNCTIONS),
        "CREATE TABLE taskward.mine (user_id text)",
        "SET ROLE {probe}",
    ],
)
async def test_the_requests_role_may_not(database: Database, roles: RoleNames, statement: str):
    async with database.session(Owner("erin")) as session:
        connection = await session._begun()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(probe=roles.probe))
        await session.roll_back()


@pytest.mark.parametrize("table", TABLES)
async def test_no_row_of_another_can_be_inserted(database: Database, two_users: tuple[str, str], table: str):
    carol, dave = two_users
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.session(Owner(carol)) as session:
            await insert(await session._begun(), table, dave)


async def test_a_task_can_be_in_no_list_and_under_no_task_of_another(
    superuser: Connection, database: Database, rows_of_two: tuple[str, str]
):
    carol, dave = rows_of_two
    for column, table in (("list_id", "list"), ("parent_id", "task")):
        stranger = await superuser.fetchval(f"SELECT id FROM taskward.{table} WHERE user_id = $1", dave)
        for reference in (stranger, uuid4()):
            with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
                async with database.session(Owner(carol)) as session:
                    await (await session._begun()).execute(f"UPDATE taskward.task SET {column} = $1", reference)
            assert constraint_of(refused.value) == f"task_{column.removesuffix('_id')}"


@pytest.mark.parametrize("table", PROBED)
@pytest.mark.usefixtures("rows_of_two")
async def test_the_probe_role_sees_ids_only(superuser: Connection, table: str, roles: RoleNames):
    async with superuser.transaction():
        await superuser.execute(f"SET LOCAL ROLE {roles.probe}")
        assert await superuser.fetchval(f"SELECT count(id) FROM taskward.{table}") >= 2
        for column in rights()[table]["SELECT"]:
            if column != "id":
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with superuser.transaction():
                        await superuser.fetch(f"SELECT {column} FROM taskward.{table}")


@pytest.mark.usefixtures("rows_of_two")
async def test_the_probe_role_reads_no_other_table(superuser: Connection, roles: RoleNames):
    for table in (*(name for name in TABLES if name not in PROBED), "alembic_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with superuser.transaction():
                await superuser.execute(f"SET LOCAL ROLE {roles.probe}")
                await superuser.fetch(f"SELECT FROM taskward.{table}")


@pytest.mark.parametrize("table", PROBED)
async def test_the_probes_tell_which_ids_are_in_use_and_nothing_else(
    superuser: Connection, database: Database, rows_of_two: tuple[str, str], table: str
):
    carol, dave = rows_of_two
    other = next(name for name in PROBED if name != table)
    of_table, of_other = [
        await superuser.fetchval(f"SELECT id FROM taskward.{name} WHERE user_id = $1", dave) for name in (table, other)
    ]
    async with database.session(Owner(carol), read_only=True) as session:
        told = [
            await (await session._begun()).fetchval(f"SELECT taskward.{table}_ids_in_use($1)", ids)
            for ids in ([of_table, of_other, uuid4(), of_table, None], [of_other, None], [], None)
        ]
    assert told == [[of_table], None, None, None]
