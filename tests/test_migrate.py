"""Migrations: what they make, that they can be repeated, run at once, cut off, and had as a script."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from taskward.storage import migrate as module
from taskward.storage.database import SchemaBehindError, UnsafeRoleError
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import MigrationError, migrate, migration_sql
from taskward.storage.quoting import SCHEMA
from taskward.storage.roles import RoleNames
from taskward.storage.tables import OwnedTable, Tombstone
from taskward.tasks.table import Task
from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.databases import connected, execute, name_of, opened, write_task
from tests.places import Place, place_fixture  # noqa: F401 - a fixture

_CATALOGUE = """
SELECT 'column', concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), a.attacl)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
WHERE c.relnamespace = 'taskward'::regnamespace AND a.attnum > 0 AND c.relkind = 'r'
UNION ALL SELECT 'table',
  concat_ws(' ', relname, relkind, relowner::regrole, relrowsecurity, relforcerowsecurity, relacl)
FROM pg_class WHERE relnamespace = 'taskward'::regnamespace
UNION ALL SELECT 'constraint', concat_ws(' ', conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'taskward'::regnamespace
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'taskward'
UNION ALL SELECT 'policy', concat_ws(' ', tablename, policyname, permissive, roles, cmd, qual, with_check)
FROM pg_policies WHERE schemaname = 'taskward'
UNION ALL SELECT 'function', concat_ws(' ', proname, proowner::regrole, prosecdef, proconfig, proacl, prosrc)
FROM pg_proc WHERE pronamespace = 'taskward'::regnamespace
UNION ALL SELECT 'schema', concat_ws(' ', nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname = 'taskward'
UNION ALL SELECT 'version', version_num FROM taskward.alembic_version
UNION ALL SELECT 'member', concat_ws(' ', roleid::regrole, member::regrole, admin_option)
FROM pg_auth_members WHERE roleid::regrole::text LIKE '%' || current_database() || '%'
ORDER BY 1, 2
"""


async def catalogue(url: str) -> list[str]:
    """Everything that a migration makes, with the database's name taken out."""
    async with connected(url) as connection:
        rows = await connection.fetch(_CATALOGUE)
    return sorted(f"{kind} {text}".replace(name_of(url), "<database>") for kind, text in rows)


async def test_a_second_migration_changes_nothing(place: Place):
    url = await place.database()
    assert await migrate(parse_address(url)) == []
    before = await catalogue(url)
    assert await migrate(parse_address(url)) == []
    assert await catalogue(url) == before
    assert len(before) > 40


async def test_ten_at_once_make_one_schema(place: Place):
    url, reference = await place.database(), await place.database()
    await migrate(parse_address(reference))
    assert await asyncio.gather(*(migrate(parse_address(url)) for _ in range(10))) == [[]] * 10
    assert await catalogue(url) == await catalogue(reference)


async def test_ten_databases_at_once_do_not_disturb_each_other(place: Place):
    urls = [await place.database() for _ in range(10)]
    await asyncio.gather(*(migrate(parse_address(url)) for url in urls))
    assert len({tuple(await catalogue(url)) for url in urls}) == 1


async def test_the_script_makes_the_same(place: Place):
    migrated, scripted = await place.database(), await place.database()
    await migrate(parse_address(migrated))
    await execute(scripted, migration_sql(name_of(scripted), "taskward"))
    assert await catalogue(scripted) == await catalogue(migrated)
    assert await migrate(parse_address(scripted)) == []
    async with opened(scripted) as database:
        await write_task(database, "alice")


async def test_the_script_is_one_transaction(empty_database: str):
    script = migration_sql(name_of(empty_database), "taskward")
    assert script.startswith("BEGIN;")
    assert script.endswith("COMMIT;\n")
    assert script.count("COMMIT;") == script.count("BEGIN;") == 1
    with pytest.raises(asyncpg.UndefinedObjectError):
        await execute(empty_database, script.replace("COMMIT;", "DROP ROLE nobody_of_this_name; COMMIT;"))
    await assert_untouched(empty_database)


async def assert_untouched(url: str) -> None:
    names = RoleNames.of(name_of(url))
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT to_regnamespace('taskward')") is None
        found = await connection.fetch("SELECT FROM pg_roles WHERE rolname = ANY ($1)", [names.requests, names.probe])
        assert found == []


async def test_the_table_classes_are_what_was_migrated(cluster: Cluster, new_database: str):
    # As a role that is not named as the schema, which would be its default one and so have no name.
    url = cluster.url(name_of(new_database), superuser=True)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )

    def another_default(*compared: Any) -> bool | None:
        _, _, column, of_database, _, of_class = compared
        # PostgreSQL, which is asked otherwise, cannot compare JSON, nor what is another value each time.
        if isinstance(column.type, JSON) or "clock_timestamp" in (of_class or ""):
            return (of_database or "").removesuffix("::json") != (of_class or "")
        return None

    def differences(connection: SyncConnection) -> list[Any]:
        options = {
            "compare_type": True,
            "compare_server_default": another_default,
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            # The migrations alone know of indexes, of foreign keys and of their own table. Of computed columns it says
            # nothing, and they are looked at below.
            "include_object": lambda one, name, kind, *__: (
                kind not in {"index", "foreign_key_constraint"}
                and name != "alembic_version"
                and getattr(one, "computed", None) is None
            ),
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Task.metadata))

    assert Tombstone.metadata is Task.metadata is OwnedTable.metadata
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
    async with connected(new_database) as catalog:
        collations = await catalog.fetch(
            "SELECT DISTINCT attcollation::regcollation::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'taskward'::regnamespace AND relkind = 'r' AND attname = 'user_id'"
        )
        computed = await catalog.fetch(
            "SELECT c.relname::text, a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = attrelid JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum"
            " WHERE relnamespace = 'taskward'::regnamespace AND attgenerated <> ''"
        )
    assert [row[0] for row in collations] == ['"C"']
    tables = OwnedTable.metadata.tables.values()
    assert {tuple(row) for row in computed} == {
        (table.name, column.name, f"({column.computed.sqltext})")
        for table in tables
        for column in table.columns
        if column.computed is not None
    }


@on_one_machine("the role of requests cannot migrate a cluster")
async def test_a_newer_schema_is_left_alone(new_database: str):
    await execute(new_database, "UPDATE taskward.alembic_version SET version_num = '9999'")
    before = await catalogue(new_database)
    with pytest.raises(MigrationError, match="9999, of a newer Taskward"):
        await migrate(parse_address(new_database))
    assert await catalogue(new_database) == before
    with pytest.raises(SchemaBehindError, match="9999"):
        async with opened(new_database):
            pass


async def test_an_empty_database_is_not_served(cluster: Cluster, empty_database: str):
    for url in (empty_database, cluster.url(name_of(empty_database), superuser=True)):
        with pytest.raises((SchemaBehindError, UnsafeRoleError)) as caught:
            async with opened(url):
                pass
        assert "taskward migrate" in str(caught.value)


async def test_an_old_server_is_refused(empty_database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OLDEST_SERVER", 990_000)
    with pytest.raises(MigrationError, match="PostgreSQL 18 is too old; 15 or newer is needed"):
        await migrate(parse_address(empty_database))
    await assert_untouched(empty_database)


async def test_a_migration_that_is_cut_off_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch):
    url = await place.database()
    with monkeypatch.context() as patch:
        patch.setattr(module, "grant_sql", lambda *_, **__: ["SELECT pg_sleep(60)"])
        running = asyncio.create_task(migrate(parse_address(url)))
        async with connected(url) as other:
            query = (
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'"
            )
            while not await other.fetch(query):
                assert not running.done()
                await asyncio.sleep(0.02)
        with pytest.raises(MigrationError, match="changed nothing"):
            await running
    await assert_untouched(url)
    assert await migrate(parse_address(url)) == []


async def test_tables_of_the_same_names_in_public_are_nobodys_business(place: Place):
    url = await place.database()
    await execute(
        place.url(name_of(url), "", superuser=True),
        "CREATE TABLE public.account (id int)",
        "CREATE TABLE public.task (id int)",
        "CREATE TABLE public.alembic_version (version_num text)",
        "INSERT INTO public.alembic_version VALUES ('somebody''s own')",
        "GRANT ALL ON SCHEMA public TO PUBLIC",
    )
    await migrate(parse_address(url))
    async with opened(url) as database:
        await write_task(database, "alice")
    async with connected(place.url(name_of(url), "", superuser=True)) as connection:
        assert await connection.fetchval("SELECT version_num FROM public.alembic_version") == "somebody's own"
        assert await connection.fetchval("SELECT count(*) FROM public.task") == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "drift",
    [
        "REVOKE INSERT (title) ON taskward.task FROM {requests}",
        "REVOKE USAGE ON SCHEMA taskward FROM {requests}",
        "GRANT UPDATE ON taskward.task TO {requests}",
        "GRANT UPDATE (user_id) ON taskward.task TO {requests}",
        "GRANT SELECT ON taskward.task TO {probe}",
        "GRANT SELECT ON taskward.task TO PUBLIC",
        "GRANT CREATE ON SCHEMA taskward TO PUBLIC",
        "DROP POLICY probe ON taskward.task",
        "ALTER POLICY probe ON taskward.task TO PUBLIC",
        "DROP POLICY owner ON taskward.account",
        "ALTER POLICY owner ON taskward.task USING (true)",
        "CREATE POLICY support ON taskward.task USING (true)",
        "ALTER TABLE taskward.tombstone DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY",
        "GRANT EXECUTE ON FUNCTION taskward.task_ids_in_use TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION taskward.task_ids_in_use FROM {requests}",
        "GRANT UPDATE (id) ON taskward.list TO {requests}",
        "REVOKE DELETE ON taskward.list FROM {requests}",
        "GRANT SELECT ON taskward.list TO {probe}",
        "GRANT UPDATE (request) ON taskward.stored_answer TO {requests}",
        "GRANT SELECT (body) ON taskward.stored_answer TO PUBLIC",
        "GRANT UPDATE ON taskward.imported_file TO {requests}",
        "DROP POLICY probe ON taskward.list",
        "ALTER POLICY probe ON taskward.list TO PUBLIC",
        "DROP POLICY owner ON taskward.list",
        "ALTER POLICY owner ON taskward.stored_answer WITH CHECK (true)",
        "CREATE POLICY support ON taskward.imported_file USING (true)",
        "ALTER TABLE taskward.list DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE taskward.stored_answer NO FORCE ROW LEVEL SECURITY",
        "GRANT EXECUTE ON FUNCTION taskward.list_ids_in_use TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION taskward.list_ids_in_use FROM {requests}",
    ],
)
async def test_rights_that_drifted_are_put_right(place: Place, drift: str):
    url = await place.database()
    await migrate(parse_address(url))
    before = await catalogue(url)
    names = RoleNames.of(name_of(url))
    superuser = place.url(name_of(url), "", superuser=True)
    await execute(superuser, drift.format(requests=names.requests, probe=names.probe))
    assert await catalogue(url) != before
    await migrate(parse_address(url))
    assert await catalogue(url) == before
