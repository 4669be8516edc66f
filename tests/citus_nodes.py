"""What each node of a cluster has, as its own catalogue tells a superuser who is there, and what it must be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from taskward.storage.roles import RoleNames
from taskward.storage.tables import probed_tables, rights
from tests.citus import at, nodes_of, superusers
from tests.databases import connected, name_of
from tests.test_row_security import FUNCTIONS, GRANTED, IN_SCHEMA, OWNER, WITHOUT_OWNER

# A client sees no shard in `pg_class` otherwise.
SHOW_SHARDS = {"citus.override_table_visibility": "off"}
_PLACED = """
SELECT n.nodename || ':' || n.nodeport, c.relname || '_' || s.shardid, c.relname::text
FROM pg_dist_placement p JOIN pg_dist_shard s USING (shardid) JOIN pg_dist_node n USING (groupid)
JOIN pg_class c ON c.oid = s.logicalrelid WHERE n.noderole = 'primary'
"""


@dataclass(frozen=True)
class Roles:
    """Who there is of one test's database."""

    owner: str
    requests: str
    probe: str

    @classmethod
    def of(cls, url: str) -> Roles:
        name = name_of(url)
        return cls(f"{name}_owner", f"{name}_requests", RoleNames.of(name).probe)


@dataclass(frozen=True)
class Node:
    """A node, and a superuser's connection to it.

    Attributes:
        tables: By the name of each table and shard that must be on it, which of Taskward's tables that is one of.
    """

    name: str
    superuser: asyncpg.Connection[asyncpg.Record]
    tables: dict[str, str]
    roles: Roles

    @property
    def owned(self) -> set[str]:
        """The tables and shards that have an owner's column."""
        return {name for name, table in self.tables.items() if table not in WITHOUT_OWNER}

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.superuser.fetch(query, *arguments)]

    async def granted(self, role: str) -> set[tuple[Any, ...]]:
        """What a role was granted in the whole database."""
        query = f"SELECT what, verb, part, is_grantable FROM ({GRANTED}) g WHERE grantee = $1::text::regrole"
        return set(await self.rows(query, role))


@asynccontextmanager
async def every_node(cluster: str, url: str) -> AsyncIterator[list[Node]]:
    """All nodes of a database, the coordinator first, as its metadata has them now.

    Args:
        cluster: A superuser's URL on the coordinator.
        url: The URL for requests of the database.
    """
    admin = superusers(cluster, url)
    async with connected(admin) as coordinator:
        placed = await coordinator.fetch(_PLACED)
    async with AsyncExitStack() as stack:
        nodes = []
        for host, port in await nodes_of(admin):
            connection = await asyncpg.connect(at(cluster, host, port, name_of(url)), server_settings=SHOW_SHARDS)
            stack.push_async_callback(connection.close)
            tables = {shard: table for node, shard, table in placed if node == f"{host}:{port}"}
            tables |= {table: table for table in rights()}
            nodes.append(Node(f"{host}:{port}", connection, tables, Roles.of(url)))
        yield nodes


async def there_are_the_tables_and_shards_that_are_placed_there_and_nothing_else(node: Node) -> None:
    found = await node.rows(f"SELECT relname, relowner::regrole::text FROM pg_class WHERE relnamespace {IN_SCHEMA}"
                            " AND relkind <> 'i'")  # fmt: skip
    assert sorted(found) == sorted((name, node.roles.owner) for name in node.tables)


async def each_table_and_shard_has_row_security(node: Node) -> None:
    """It does not bind the owner, as which what is written meanwhile is replicated where a shard moves."""
    rows = await node.rows(
        f"SELECT relname FROM pg_class WHERE relnamespace {IN_SCHEMA} AND relrowsecurity AND NOT relforcerowsecurity"
    )
    assert {name for (name,) in rows} == node.owned != set()


async def each_table_and_shard_has_the_owners_policy_and_no_other_save_the_probes(node: Node) -> None:
    rows = await node.rows(
        "SELECT c.relname, p.polname, p.polpermissive, p.polcmd,"
        " ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(p.polroles) r),"
        " pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)"
        " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
    )
    expected: list[tuple[Any, ...]] = [(name, "owner", True, b"*", ["public"], OWNER, OWNER) for name in node.owned]
    expected += [
        (name, "probe", True, b"r", [node.roles.probe], "true", None)
        for name, table in node.tables.items()
        if table in probed_tables()
    ]
    assert sorted(rows, key=str) == sorted(expected, key=str)


async def the_requests_role_has_exactly_its_grants_in_the_whole_database(node: Node) -> None:
    assert await node.granted(node.roles.requests) == {
        ("taskward", "USAGE", None, False),
        *((name, "EXECUTE", None, False) for name in FUNCTIONS),
        *(
            (name, verb, column, False)
            for name, table in node.tables.items()
            for verb, columns in rights(distributed=True)[table].items()
            for column in (columns or (None,))
        ),
    }


async def the_probe_role_may_read_ids_and_run_its_functions_only(node: Node) -> None:
    assert await node.granted(node.roles.probe) == {
        ("taskward", "USAGE", None, False),
        *((name, "EXECUTE", None, False) for name in FUNCTIONS),
        *((name, "SELECT", "id", False) for name, table in node.tables.items() if table in probed_tables()),
    }


async def nobody_else_has_anything_in_the_schema(node: Node) -> None:
    rows = await node.rows(
        "SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END"
        f" FROM ({GRANTED}) g WHERE place {IN_SCHEMA} OR what = 'taskward' AND place IS NOT NULL"
    )
    assert {name for (name,) in rows} == {node.roles.owner, node.roles.requests, node.roles.probe}
    assert await node.rows("SELECT * FROM pg_default_acl") == []


async def the_probes_are_fixed_and_belong_to_the_probe_role(node: Node) -> None:
    rows = await node.rows(
        "SELECT oid::regprocedure::text, prorettype::regtype::text, prosecdef, proleakproof, proowner::regrole::text,"
        f" proconfig FROM pg_proc WHERE pronamespace {IN_SCHEMA} OR prosecdef"
    )
    path = ["search_path=pg_catalog, pg_temp"]
    expected = [(f"taskward.{name}(uuid[])", "uuid[]", True, False, node.roles.probe, path) for name in FUNCTIONS]
    assert sorted(rows) == sorted(expected)


async def no_role_may_more_than_on_one_machine(node: Node) -> None:
    """But that the probe role may log in, as which the nodes ask each other. It has no password."""
    rows = await node.rows(
        "SELECT rolname, rolcanlogin, rolpassword IS NULL, rolcreaterole, rolsuper OR rolcreatedb OR rolreplication"
        " OR rolbypassrls, ARRAY(SELECT roleid::regrole::text FROM pg_auth_members m WHERE member = a.oid"
        " AND (to_jsonb(m) ->> 'inherit_option' IS DISTINCT FROM 'false'"
        " OR to_jsonb(m) ->> 'set_option' IS DISTINCT FROM 'false'))"
        " FROM pg_authid a WHERE rolname = ANY ($1)", [node.roles.owner, node.roles.requests, node.roles.probe],
    )  # fmt: skip
    assert sorted(rows) == sorted(
        [
            (node.roles.owner, True, False, True, False, []),
            (node.roles.requests, True, False, False, False, []),
            (node.roles.probe, True, True, False, False, []),
        ]
    )
    owning = await node.rows(
        "SELECT refobjid::regrole::text, objid::regprocedure::text FROM pg_shdepend"
        " WHERE deptype = 'o' AND refobjid::regrole::text = ANY ($1)"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [node.roles.requests, node.roles.probe],
    )
    assert sorted(owning) == sorted((node.roles.probe, f"taskward.{name}(uuid[])") for name in FUNCTIONS)


async def each_foreign_key_has_the_owner_on_both_sides_and_stays_in_the_shards_of_one_range(node: Node) -> None:
    rows = await node.rows(
        "SELECT c.relname, f.relname, k.convalidated,"
        " ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, place)"
        "  JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n ORDER BY place),"
        " ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, place)"
        "  JOIN pg_attribute ON attrelid = k.confrelid AND attnum = n ORDER BY place)"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid"
        f" WHERE k.connamespace {IN_SCHEMA} AND k.contype = 'f'"
    )
    range_of = dict(await node.rows("SELECT shardid, shardminvalue::text || shardmaxvalue FROM pg_dist_shard"))

    def shard(name: str) -> str | None:
        return None if name in rights() else range_of[int(name.rpartition("_")[2])]

    tasks = [name for name, table in node.tables.items() if table == "task"]
    assert sorted(table for table, *_ in rows) == sorted([*tasks, *tasks])
    for table, other, valid, own_columns, others_columns in rows:
        assert own_columns[0] == others_columns[0] == "user_id"
        assert valid
        assert shard(table) == shard(other)


async def each_table_is_distributed_by_its_owner_beside_the_others(node: Node) -> None:
    rows = await node.rows(
        "SELECT c.relname, p.partmethod, p.repmodel, p.colocationid,"
        " column_to_column_name(p.logicalrelid, p.partkey)"
        " FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid"
    )
    assert {name for name, *_ in rows} == rights().keys()
    together = {row[3] for row in rows if row[0] not in WITHOUT_OWNER}
    assert len(together) == 1
    for name, method, replication, group, column in rows:
        if name in WITHOUT_OWNER:
            assert (method, replication, column) == (b"n", b"t", None)  # a reference table: one copy on each node
            assert group not in together
        else:
            assert (method, replication, column) == (b"h", b"s", "user_id")


Check = Callable[[Node], Awaitable[None]]
CHECKS: tuple[Check, ...] = (
    there_are_the_tables_and_shards_that_are_placed_there_and_nothing_else,
    each_table_and_shard_has_row_security,
    each_table_and_shard_has_the_owners_policy_and_no_other_save_the_probes,
    the_requests_role_has_exactly_its_grants_in_the_whole_database,
    the_probe_role_may_read_ids_and_run_its_functions_only,
    nobody_else_has_anything_in_the_schema,
    the_probes_are_fixed_and_belong_to_the_probe_role,
    no_role_may_more_than_on_one_machine,
    each_foreign_key_has_the_owner_on_both_sides_and_stays_in_the_shards_of_one_range,
    each_table_is_distributed_by_its_owner_beside_the_others,
)


async def assert_protected(cluster: str, url: str) -> None:
    """Every node has what it must, and nothing else."""
    async with every_node(cluster, url) as nodes:
        assert len(nodes) > 1
        for node in nodes:
            for check in CHECKS:
                await check(node)
