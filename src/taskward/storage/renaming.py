"""Finds what was made for the roles of a database's former name, after it was renamed or copied, and makes it anew.

Roles are named for the database and belong to the whole cluster, so those of the other name may be in use there.
Nothing here touches them outside of this database.
"""

from __future__ import annotations

from taskward.storage.pool import Connection
from taskward.storage.quoting import SCHEMA, quote_identifier
from taskward.storage.roles import ROLE_PREFIXES, RoleNames, probe_functions

# Only its owner may hand a function over, and that may be the probe role, or one of the database that this one was
# renamed or copied from. The schema's owner may drop every function in it.
_FOREIGN = """
SELECT p.oid::pg_catalog.regprocedure::text, pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
WHERE p.oid = ANY (SELECT pg_catalog.to_regprocedure(name) FROM pg_catalog.unnest($1::text[]) AS name)
  AND r.rolname <> current_user
"""


async def reclaim(connection: Connection) -> None:
    """Make the probe functions anew that do not belong to the owner role."""
    for function, definition in await connection.fetch(_FOREIGN, probe_functions()):
        await connection.execute(f"DROP FUNCTION {function}")
        await connection.execute(definition)


_GRANTEES = f"""
SELECT DISTINCT r.rolname::text
FROM (
    SELECT n.nspacl AS acl FROM pg_catalog.pg_namespace n WHERE n.nspname = '{SCHEMA}'
    UNION ALL
    SELECT c.relacl FROM pg_catalog.pg_class c WHERE c.relnamespace = '{SCHEMA}'::pg_catalog.regnamespace
    UNION ALL
    SELECT a.attacl FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = '{SCHEMA}'::pg_catalog.regnamespace
) given, pg_catalog.aclexplode(given.acl) one
JOIN pg_catalog.pg_roles r ON r.oid = one.grantee
WHERE r.rolname <> ALL ($1::text[])
  AND EXISTS (SELECT FROM pg_catalog.unnest($2::text[]) AS prefix
              WHERE pg_catalog.starts_with(r.rolname::text, prefix))
"""  # noqa: S608 - a name of ours


async def former_roles(connection: Connection, names: RoleNames) -> list[str]:
    """The roles with rights in the schema that were made for a database of another name."""
    rows = await connection.fetch(_GRANTEES, [names.requests, names.probe], list(ROLE_PREFIXES))
    return [row["rolname"] for row in rows]


# A membership counts where it lets its member act as the role, which is known from 16 on; before, each does.
_LET_IN = """
SELECT m.member::pg_catalog.regrole::text AS member, m.grantor::pg_catalog.regrole::text AS grantor
FROM pg_catalog.pg_auth_members m
JOIN pg_catalog.pg_roles probe ON probe.oid = m.roleid AND probe.rolname = $1
JOIN pg_catalog.pg_roles me ON me.rolname = current_user AND NOT me.rolsuper
WHERE pg_catalog.pg_has_role(me.oid, m.member, 'MEMBER') AND {acts}
ORDER BY 1, 2
"""


async def memberships(connection: Connection, names: RoleNames, *, server_version: int) -> list[str]:
    """The statements that end each membership by which the current role could act as the probe role."""
    has_options = server_version >= 160_000  # noqa: PLR2004
    rows = await connection.fetch(
        _LET_IN.format(acts="(m.inherit_option OR m.set_option)" if has_options else "true"), names.probe
    )
    probe = quote_identifier(names.probe)
    return [
        f"REVOKE {probe} FROM {row['member']}" + (f" GRANTED BY {row['grantor']}" if has_options else "")
        for row in rows
    ]


_OWNERSHIP = f"""
SELECT n.nspowner::pg_catalog.regrole::text AS owner,
  ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c
        WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
          AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1) AS tables
FROM pg_catalog.pg_namespace n
WHERE n.nspname = '{SCHEMA}'
  AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
"""  # noqa: S608 - a name of ours


async def foreign_ownership(connection: Connection) -> tuple[str, list[str]] | None:
    """Whose the schema is, where it is not the current role's, and the statements that would make it so."""
    row = await connection.fetchrow(_OWNERSHIP)
    if row is None:
        return None
    role = quote_identifier(await connection.fetchval("SELECT current_user::text"))
    tables = [f"ALTER TABLE {SCHEMA}.{quote_identifier(name)} OWNER TO {role}" for name in row["tables"]]
    return row["owner"], [f"ALTER SCHEMA {SCHEMA} OWNER TO {role}", *tables]
