"""Taskward's tables on Citus: distributed by their owner, so that all that one user has is on one node.

Every statement names its owner, by which the coordinator finds the one node that it sends it to. What it takes for that
to work is in `docs/scale.md`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from asyncpg import LockNotAvailableError

from taskward.storage.pool import Connection
from taskward.storage.quoting import SCHEMA, quote_identifier, quote_literal
from taskward.storage.roles import RoleNames, found_on_node, node_check_sql, revocation_sql
from taskward.storage.tables import OwnedTable

OLDEST_VERSION = (13, 2)
SHARDS = 32
"""How many shards each table has, unless somebody says another number. It bounds how many nodes there can be."""
_MOST_SHARDS = 64_000
# Requests take tables in any order. What is shorter than PostgreSQL's deadlock_timeout lets them have their way.
_LOCK_MILLISECONDS = 500
_LOCK_TRIES = 40
# Milliseconds to wait for a node.
_PATIENCE = 2000
_OF_SHARD = re.compile(r"_\d+$")
_VERSION_TABLE = f"{SCHEMA}.alembic_version"


class CitusError(Exception):
    """The tables cannot be distributed; the message is one sentence that says why and what to do."""


async def installed_version(connection: Connection) -> tuple[int, ...] | None:
    """The version of the extension that this database has, as `(14, 0)`; None where it has none."""
    text = await connection.fetchval("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'citus'")
    return None if text is None else tuple(int(part) for part in text.partition("-")[0].split("."))


async def is_distributed(connection: Connection) -> bool:
    """Whether the tables of this database are distributed over nodes."""
    # Without the extension, nothing that it has may be named.
    if await connection.fetchval("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NULL"):
        return False
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass($1))",
            f"{SCHEMA}.account",
        )
    )


async def _check_ready(connection: Connection) -> None:
    version = await installed_version(connection)
    if version is None:
        raise CitusError(
            "This database has no Citus: install it on every node, add citus to shared_preload_libraries, and run"
            " CREATE EXTENSION citus in this database."
        )
    if version < OLDEST_VERSION:
        wanted, found = (".".join(map(str, one)) for one in (OLDEST_VERSION, version))
        raise CitusError(f"Citus {found} is too old; {wanted} or newer is needed.")
    group = await connection.fetchval("SELECT groupid FROM pg_catalog.pg_dist_local_group")
    if group != 0:
        raise CitusError("This node is a worker; TASKWARD_MIGRATE_URL must name the coordinator.")
    nodes = await connection.fetch(
        "SELECT nodename, nodeport FROM pg_catalog.pg_dist_node WHERE noderole = 'primary' AND shouldhaveshards"
    )
    if not nodes:
        raise CitusError("No node would have a shard; add a worker with citus_add_node.")


@dataclass(frozen=True, slots=True)
class Node:
    """What a node says of itself.

    Attributes:
        name: Its host and port, as the other nodes know them.
        unprotected: Its tables and shards that row-level security does not guard as it should.
        unsafe: Why requests must not run there as they do and what to do, or None.
        is_handed_over: Whether the probe functions are there for requests and nobody else to run.
        silence: Why it has not answered, so that nothing is known of it; None where it has.
    """

    name: str
    unprotected: list[str] = field(default_factory=list)
    unsafe: str | None = None
    is_handed_over: bool = True
    silence: str | None = None

    @property
    def danger(self) -> str | None:
        """What keeps requests from running safely on it and how to mend it, or None."""
        if self.unprotected:
            return f"row-level security is not in force on {', '.join(self.unprotected)}; run: taskward migrate"
        return self.unsafe

    @property
    def problem(self) -> str | None:
        """What has to be mended on it and how, or None."""
        if self.danger or self.silence or self.is_handed_over:
            return self.danger or self.silence
        return "others than requests may run the functions that tell which ids are in use; run: taskward migrate"


async def check_nodes(connection: Connection, role: str | None = None) -> list[Node]:
    """Ask every node whether row-level security binds requests there, in a transaction of the caller's.

    Args:
        role: The role that they run as, where it is not the connection's own.
    """
    await connection.execute(f"SET LOCAL citus.node_connection_timeout TO {_PATIENCE}")
    user, database = await connection.fetchrow("SELECT current_user::text, current_database()::text")  # type: ignore[misc]
    role = role or user
    rows = await connection.fetch(
        "SELECT n.nodename || ':' || n.nodeport AS name, r.success, r.result"
        " FROM run_command_on_all_nodes($1) r JOIN pg_catalog.pg_dist_node n USING (nodeid) ORDER BY n.groupid",
        node_check_sql(role, RoleNames.of(database)),
    )
    return [
        Node(row["name"], *found_on_node(row["result"], role))
        if row["success"]
        else Node(row["name"], silence=row["result"].partition("\n")[0])
        for row in rows
    ]


def unprotected_shards(nodes: Collection[Node]) -> set[str]:
    """The tables of which a shard, on any node, is not guarded by row-level security as it should."""
    return {_OF_SHARD.sub("", name) for node in nodes for name in node.unprotected}


async def begin(connection: Connection) -> None:
    """Prepare the transaction of a migration, which changes many shards.

    Raises:
        CitusError: This is not the coordinator of a cluster that can take the tables.
    """
    await _check_ready(connection)
    # One after the other, or a statement could not change what an earlier one has changed on other connections.
    await connection.execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
    # Where the coordinator has shards, another connection to it would not see what this transaction has made.
    await connection.execute("SET LOCAL citus.enable_local_execution TO on")


_UNKNOWN = """
SELECT r.rolname::text FROM pg_catalog.pg_roles r
WHERE r.rolname = ANY ($1::text[])
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_object o
                  WHERE o.classid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND o.objid = r.oid)
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles me WHERE me.rolname = current_user AND me.rolsuper)
ORDER BY 1
"""


async def introductions(connection: Connection, owner: str, requests: str) -> list[str]:
    """The statements by which a superuser makes roles known to the cluster; empty where they are, or this is one.

    Citus knows a role by the database in which it was made. One that it does not know, it makes on every node as soon
    as something of the role's is distributed, in a way that only a superuser may.

    Args:
        owner: The role that owns the tables.
        requests: The role that requests run as.
    """
    if not await connection.fetch(_UNKNOWN, [owner, requests]):
        return []
    owner, requests = quote_identifier(owner), quote_identifier(requests)
    return [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {owner}",
        f"CREATE TABLE IF NOT EXISTS {_VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)",
        f"ALTER TABLE {_VERSION_TABLE} OWNER TO {owner}",
        f"GRANT SELECT ON {_VERSION_TABLE} TO {requests}",
        f"SELECT create_reference_table('{_VERSION_TABLE}')",
    ]


_MAY_CHANGE = f"""
SELECT r.rolname::text FROM pg_catalog.pg_roles r
WHERE pg_catalog.has_any_column_privilege(r.oid, '{SCHEMA}.account', 'UPDATE')
  AND (r.rolname = $1 OR EXISTS (
    SELECT FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) one
    WHERE a.attrelid = '{SCHEMA}.account'::pg_catalog.regclass AND one.grantee = r.oid))
ORDER BY 1
"""  # noqa: S608 - a name of ours


async def shut_out(connection: Connection, requests: str) -> None:
    """Before tables are distributed, keep requests out of them until the transaction's end, and take all rights from
    the roles that they have run as.

    A service that began before does not know that the tables are distributed. It names its owner in a way that does not
    reach the nodes, would find no rows there, and answer so; without rights it answers 503 until it is started again.

    Args:
        requests: The role that requests shall run as from now on.

    Raises:
        CitusError: Requests run as it already, or others never let go of the tables.
    """
    found = [row["rolname"] for row in await connection.fetch(_MAY_CHANGE, requests)]
    if requests in found:
        raise CitusError(
            f"A service that runs as {requests} now would find no rows on the nodes: let DATABASE_URL name another role"
            " that may only log in. The rights of this one end when the tables are distributed."
        )
    await _lock(connection)
    for statement in revocation_sql(found):
        await connection.execute(statement)


async def _lock(connection: Connection) -> None:
    tables = ", ".join(f"{SCHEMA}.{table.name}" for table in OwnedTable.metadata.sorted_tables)
    await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
    for _ in range(_LOCK_TRIES):
        with suppress(LockNotAvailableError):
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            await connection.execute("SET LOCAL lock_timeout TO DEFAULT")
            return
    raise CitusError("Others are using the tables all the time: stop the service, then migrate again.")


async def distribute(connection: Connection, *, shards: int = SHARDS) -> list[str]:
    """Distribute what is not distributed yet, within a transaction of the owner's, and say what was done.

    Args:
        shards: How many shards each table shall have, where none is distributed yet.

    Raises:
        CitusError: A table is distributed in another way, or rows would be lost.
    """
    if not 1 <= shards <= _MOST_SHARDS:
        raise CitusError(f"There can be 1 to {_MOST_SHARDS} shards.")
    done: list[str] = []
    if not await _is_known(connection, _VERSION_TABLE):
        await connection.execute(f"SELECT create_reference_table({quote_literal(_VERSION_TABLE)})")
        done.append(f"{_VERSION_TABLE} is on every node now.")
    root = f"{SCHEMA}.account"
    # What is referenced comes first.
    names = [f"{SCHEMA}.{table.name}" for table in OwnedTable.metadata.sorted_tables]
    names.sort(key=lambda name: name != root)
    left_behind: list[str] = []
    for name in names:
        if await _is_known(connection, name):
            continue
        how = f"shard_count => {shards}, colocate_with => 'none'" if name == root else f"colocate_with => '{root}'"
        rows = await _distribute_one(connection, name, how)
        done.append(f"{name} is distributed by user_id now, with {rows} row{'' if rows == 1 else 's'}.")
        if rows:
            left_behind.append(name)
    # Not before: one that a local table references cannot be emptied.
    for name in left_behind:
        await connection.execute(f"SELECT truncate_local_data_after_distributing_table({quote_literal(name)})")
    await _check_together(connection, names)
    for name in await _forced(connection, names):
        await connection.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    return done


async def _distribute_one(connection: Connection, name: str, how: str) -> int:
    # Row-level security bound the owner as well: it would copy no row, and leave them all behind. It stays so, or what
    # is changed in a shard while it moves to another node could not be done again on that, as the owner, and the move
    # would wait for ever.
    await connection.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    before = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of ours
    await connection.execute(f"SELECT create_distributed_table({quote_literal(name)}, 'user_id', {how})")
    after = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of ours
    if before != after:
        raise CitusError(f"Of {before} rows of {name}, {after} would be distributed; nothing was changed.")
    return int(after)


async def _forced(connection: Connection, names: list[str]) -> list[str]:
    """The tables whose owner row-level security binds, as after a migration that has changed rows on one machine."""
    rows = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) name JOIN pg_catalog.pg_class c ON c.oid = name::regclass"
        " WHERE c.relforcerowsecurity",
        names,
    )
    return [row["name"] for row in rows]


async def _is_known(connection: Connection, name: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_partition"
            " WHERE logicalrelid = $1::text::regclass AND (partmethod <> 'n' OR repmodel = 't'))",
            name,
        )
    )


async def _check_together(connection: Connection, names: list[str]) -> None:
    placed: list[Any] = await connection.fetch(
        "SELECT table_name::text AS name, distribution_column AS by, colocation_id AS together"
        " FROM citus_tables WHERE table_name = ANY ($1::text[]::regclass[])",
        names,
    )
    if wrong := sorted(row["name"] for row in placed if row["by"] != "user_id"):
        raise CitusError(f"Distributed by something else than user_id: {', '.join(wrong)}; undistribute them first.")
    if len({row["together"] for row in placed}) != 1:
        raise CitusError("The tables are not colocated: rows of a user are on several nodes. Undistribute them first.")
