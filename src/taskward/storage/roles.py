"""The roles by which PostgreSQL itself keeps users apart, and the check that they do.

- The *owner* role owns the schema and runs migrations: the role of `TASKWARD_MIGRATE_URL`, else of `DATABASE_URL`.
- The *requests* role runs requests. It owns nothing and bypasses nothing, so row-level security binds it. Where the
  role of `DATABASE_URL` is such a role already, it is that one; else a NOLOGIN role is made and each transaction
  switches to it.
- The *probe* role owns the functions that tell 403 from 404. Its policies may read one column, `id`.

Roles belong to the whole cluster, so those made here are named for the database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b

from taskward.storage.pool import Connection
from taskward.storage.quoting import SCHEMA, quote_identifier, quote_literal
from taskward.storage.tables import probed_tables, rights

_PARAMETER = re.compile(r"\$(\d)")
_ENCODING = "UTF8"
_LONGEST_IDENTIFIER = 63  # PostgreSQL's NAMEDATALEN - 1, in bytes


class UnsafeRoleError(Exception):
    """The requests role could get around row-level security; the message says why and how to mend it."""


class MissingPrivilegeError(Exception):
    """A role cannot be made; the message has the SQL for whoever can."""


@dataclass(frozen=True, slots=True)
class RoleNames:
    """The names of the roles that are made for one database."""

    requests: str
    probe: str

    @classmethod
    def of(cls, database: str) -> RoleNames:
        return cls(*(_name(prefix, database) for prefix in ROLE_PREFIXES))


ROLE_PREFIXES = ("taskward_requests_", "taskward_probe_")


def _name(prefix: str, database: str) -> str:
    name = prefix + database
    if len(name.encode()) <= _LONGEST_IDENTIFIER:
        return name
    return prefix + blake2b(database.encode(), digest_size=16).hexdigest()


def creation_sql(
    names: RoleNames, login: str, *, server_version: int, distributed: bool = False
) -> tuple[str, str, str]:
    """The statements that make the requests role and the probe role, and let the login role switch to the former.

    Args:
        login: The role that connects for requests.
        server_version: As `server_version_num`.
        distributed: Whether the tables are on a Citus cluster, whose nodes are asked as the probe role.
    """
    requests, probe, login = (quote_identifier(n) for n in (names.requests, names.probe, login))
    # INHERIT FALSE: the login role gains nothing until a transaction switches. PostgreSQL 15 has no such option.
    options = " WITH SET TRUE, INHERIT FALSE" if server_version >= 160_000 else ""  # noqa: PLR2004
    # What else a role may do must be asked for, and a Citus coordinator lets only a superuser say that it may not.
    return (
        f"CREATE ROLE {requests} NOLOGIN NOINHERIT",
        f"CREATE ROLE {probe} {'LOGIN' if distributed else 'NOLOGIN'} NOINHERIT",
        f"GRANT {requests} TO {login}{options}",
    )


def probe_functions() -> list[str]:
    """The functions that say which ids are in use, by anybody."""
    return [f"{SCHEMA}.{table}_ids_in_use(uuid[])" for table in probed_tables()]


def revocation_sql(roles: Collection[str]) -> list[str]:
    """The statements, run by the owner role, that take all rights from roles."""
    if not roles:
        return []
    others = ", ".join(map(quote_identifier, sorted(roles)))
    return [
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {others}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {others}",
    ]


def grant_sql(names: RoleNames, requests: str, former: Collection[str] = (), *, distributed: bool = False) -> list[str]:
    """The statements, run by the owner role after the tables exist, that give each role exactly its rights.

    Args:
        requests: The role that requests run as.
        former: Roles that had rights while the database had another name.
        distributed: Whether the tables are on a Citus cluster.
    """
    role, probe = quote_identifier(requests), quote_identifier(names.probe)
    sql = [
        *revocation_sql(former),
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}, {probe}",
    ]
    for table, privileges in rights(distributed=distributed).items():
        listed = ", ".join(f"{verb} ({', '.join(cols)})" if cols else verb for verb, cols in privileges.items())
        sql.append(f"GRANT {listed} ON {SCHEMA}.{table} TO {role}")
    for table in probed_tables():
        sql += [
            f"GRANT SELECT (id) ON {SCHEMA}.{table} TO {probe}",
            f"DROP POLICY IF EXISTS probe ON {SCHEMA}.{table}",
            f"CREATE POLICY probe ON {SCHEMA}.{table} FOR SELECT TO {probe} USING (true)",
        ]
    return sql


def handover_sql(names: RoleNames, requests: str) -> list[str]:
    """The statements, run by the owner role, that hand the probe functions, which are its own, over to the probe role.

    That needs membership in the probe role. It is given and taken away again here, within the migration's
    transaction: a membership left behind would let the owner role see every user's rows.

    Args:
        requests: The role that requests run as.
    """
    role, probe = quote_identifier(requests), quote_identifier(names.probe)
    functions = ", ".join(probe_functions())
    return [
        f"REVOKE ALL ON FUNCTION {functions} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {functions} TO {role}",
        f"GRANT {probe} TO CURRENT_USER",
        f"GRANT CREATE ON SCHEMA {SCHEMA} TO {probe}",
        *(f"ALTER FUNCTION {function} OWNER TO {probe}" for function in probe_functions()),
        f"REVOKE CREATE ON SCHEMA {SCHEMA} FROM {probe}",
        f"REVOKE {probe} FROM CURRENT_USER",
    ]


def admin_sql(names: RoleNames, owner: str, *, server_version: int) -> str:
    """The statement, run by whoever made the probe role, that lets `owner` hand the functions over and no more.

    On PostgreSQL 15 it makes a full member of it, which the handover ends.
    """
    options = "ADMIN TRUE, SET FALSE, INHERIT FALSE" if server_version >= 160_000 else "ADMIN OPTION"  # noqa: PLR2004
    return f"GRANT {quote_identifier(names.probe)} TO {quote_identifier(owner)} WITH {options}"


_HANDED_OVER = """
SELECT p.proowner = r.oid
  AND (SELECT array_agg(a.grantee ORDER BY a.grantee) FROM pg_catalog.aclexplode(p.proacl) a)
    = (SELECT array_agg(g.oid ORDER BY g.oid) FROM pg_catalog.pg_roles g WHERE g.rolname IN ($1, $2))
FROM pg_catalog.pg_proc p, pg_catalog.pg_roles r
WHERE p.oid = pg_catalog.to_regprocedure($3) AND r.rolname = $1
"""


async def is_handed_over(connection: Connection, names: RoleNames, requests: str) -> bool:
    """Whether the probe functions are the probe role's, for `requests` and nobody else to run."""
    for function in probe_functions():
        if not await connection.fetchval(_HANDED_OVER, names.probe, requests, function):
            return False
    return True


# Everything by which a role could see past row-level security. `pg_has_role(…, 'MEMBER')` follows memberships to
# their end, whether or not they are inherited, so a role that could merely switch counts as well.
_WHY_UNSAFE = f"""
SELECT CASE
    WHEN r.rolsuper THEN 'is a superuser'
    WHEN r.rolbypassrls THEN 'bypasses row-level security'
    WHEN r.rolreplication THEN 'may replicate the whole cluster'
    WHEN r.rolcreaterole THEN 'may make roles'
    WHEN r.rolname IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')
        THEN 'may reach the server''s files'
    WHEN r.rolname = $2 THEN 'may read every id'
    ELSE 'owns the tables'
  END AS reason,
  r.rolname
FROM pg_catalog.pg_roles r
WHERE pg_catalog.pg_has_role($1::pg_catalog.name, r.oid, 'MEMBER')
  AND (r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole
       OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files', $2)
       OR r.oid IN (SELECT c.relowner FROM pg_catalog.pg_class c
                    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{SCHEMA}')
       OR r.oid IN (SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE n.nspname = '{SCHEMA}'))
ORDER BY r.rolname = $1 DESC, reason
LIMIT 1
"""  # noqa: S608 - a name of ours

# A table is protected by one policy that says exactly this. Permissive policies add up, so there may be no other one,
# except that the probe role may read.
_OWNER_ONLY = "(user_id = NULLIF(current_setting('taskward.user_id'::text, true), ''::text))"
_UNPROTECTED = f"""
SELECT c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped
WHERE n.nspname = '{SCHEMA}' AND c.relkind IN ('r', 'p')
  AND NOT (c.relrowsecurity AND (c.relforcerowsecurity OR $3)
    AND EXISTS (
      SELECT FROM pg_catalog.pg_policy p
      WHERE p.polrelid = c.oid AND p.polname = 'owner' AND p.polcmd = '*'
        AND pg_catalog.pg_get_expr(p.polqual, c.oid) = $2 AND pg_catalog.pg_get_expr(p.polwithcheck, c.oid) = $2)
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_policy p
      WHERE p.polrelid = c.oid AND p.polname <> 'owner' AND p.polpermissive
        AND NOT (p.polcmd = 'r' AND p.polroles = ARRAY(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1))))
ORDER BY c.relname
"""  # noqa: S608 - a name of ours


async def unprotected(connection: Connection, names: RoleNames, *, distributed: bool = False) -> list[str]:
    """The tables with a `user_id` that row-level security does not guard as it should.

    Args:
        distributed: Whether the tables are on a Citus cluster. Their owner is not bound there, since it is the owner as
            whom a change of a shard that moves to another node is done again on that.
    """
    rows = await connection.fetch(_UNPROTECTED, names.probe, _OWNER_ONLY, distributed)
    return [row["relname"] for row in rows]


async def protect(
    connection: Connection, names: RoleNames, on_nodes: Collection[str] = (), *, distributed: bool = False
) -> None:
    """Put the row-level security of Taskward's tables back in force, where somebody changed it.

    Args:
        on_nodes: Tables of which a shard is not guarded.
        distributed: As `unprotected`.
    """
    for name in {*await unprotected(connection, names, distributed=distributed), *on_nodes}:
        if name not in rights():
            continue
        table = f"{SCHEMA}.{name}"
        policies = await connection.fetch(
            "SELECT polname FROM pg_catalog.pg_policy WHERE polrelid = $1::pg_catalog.regclass AND polpermissive", table
        )
        for (policy,) in policies:
            await connection.execute(f"DROP POLICY IF EXISTS {quote_identifier(policy)} ON {table}")
        # One by one: a Citus coordinator hands on all the text that it gets with each.
        await connection.execute(f"CREATE POLICY owner ON {table} USING {_OWNER_ONLY} WITH CHECK {_OWNER_ONLY}")
        force = "NO FORCE" if distributed else "FORCE"
        await connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY")


async def why_unsafe(connection: Connection, role: str, names: RoleNames) -> str | None:
    """Why requests must not run as `role`, or None."""
    row = await connection.fetchrow(_WHY_UNSAFE, role, names.probe)
    return None if row is None else _why(role, row["rolname"], row["reason"])


def _why(role: str, found: str, reason: str) -> str:
    return f"role {role} {reason}" if found == role else f"role {role} is a member of {found}, which {reason}"


def node_check_sql(role: str, names: RoleNames) -> str:
    """A query of one value for each node of a cluster, whose shards are tables: a JSON object of the tables that are
    `unprotected`, of who is `unsafe` and why, of the `encoding`, of whether `strings` are read as they are written, and
    of whether the probe functions are `handed_over`. It holds no parameter, as there can be none in it.

    Args:
        role: The role that requests run as.
    """
    tables = _filled(_UNPROTECTED, names.probe, _OWNER_ONLY, "true")
    unsafe = _filled(_WHY_UNSAFE, role, names.probe)
    probes = [_filled(_HANDED_OVER, names.probe, role, function) for function in probe_functions()]
    # All of it is ours.
    asked = f"(SELECT pg_catalog.json_agg(relname) FROM ({tables}) t)"  # noqa: S608
    reason = f"(SELECT pg_catalog.json_build_array(rolname, reason) FROM ({unsafe}) u)"  # noqa: S608
    given = " AND ".join(f"coalesce(({probe}), false)" for probe in probes)
    settings = ", ".join(
        f"'{name}', pg_catalog.current_setting('{setting}')"
        for name, setting in (("encoding", "server_encoding"), ("strings", "standard_conforming_strings"))
    )
    return (
        f"SELECT pg_catalog.json_build_object('unprotected', {asked}, 'unsafe', {reason}, {settings},"
        f" 'handed_over', {given})"
    )


def _filled(sql: str, *values: str) -> str:
    """A query with its parameters written into it."""
    return _PARAMETER.sub(lambda found: quote_literal(values[int(found[1]) - 1]), sql)


def found_on_node(answer: str, role: str) -> tuple[list[str], str | None, bool]:
    """The tables without their protection on a node, why requests must not run there as `role` and what to do, and
    whether the probe functions are handed over there, of what the node answers to `node_check_sql`.
    """
    found = json.loads(answer)
    unsafe = f"{_why(role, *found['unsafe'])}; take that from it" if found["unsafe"] else None
    if found["strings"] != "on":
        # A coordinator writes what users send into SQL by its own setting, and a node would read on after the string.
        unsafe = "standard_conforming_strings is off there, so that a text could be read as SQL; turn it on"
    elif found["encoding"] != _ENCODING:
        unsafe = f"the {_foreign(found['encoding'])}"
    return found["unprotected"] or [], unsafe, found["handed_over"]


async def foreign_encoding(connection: Connection) -> str | None:
    """Why the database cannot hold what users send, or None.

    Only UTF-8 keeps every character apart. EUC_JP stores two of them alike, by which two users would be one; others
    have no place for most characters, or count bytes for them.
    """
    encoding = await connection.fetchval("SELECT pg_catalog.current_setting('server_encoding')")
    return None if encoding == _ENCODING else f"The {_foreign(encoding)}."


def _foreign(encoding: str) -> str:
    return f"database's encoding is {encoding}, and {_ENCODING} is needed: make another with ENCODING '{_ENCODING}'"


async def choose_requests_role(connection: Connection, *, distributed: bool = False) -> str | None:
    """Decide how requests become a role that row-level security binds.

    Args:
        distributed: As `unprotected`.

    Returns:
        The role that each transaction switches to, or None where the connection's own role is safe.

    Raises:
        UnsafeRoleError: There is no safe role to run as, a table is not protected, or the encoding is not UTF-8.
    """
    if reason := await foreign_encoding(connection):
        raise UnsafeRoleError(reason)
    login, database = await connection.fetchrow("SELECT current_user::text, current_database()::text")  # type: ignore[misc]
    names = RoleNames.of(database)
    if tables := await unprotected(connection, names, distributed=distributed):
        raise UnsafeRoleError(f"Row-level security is not in force on {', '.join(tables)}; run: taskward migrate")
    may_switch = await connection.fetchval(
        "SELECT pg_has_role(current_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000"
        " THEN 'SET' ELSE 'MEMBER' END) FROM pg_roles WHERE rolname = $1",
        names.requests,
    )
    if not may_switch:
        reason = await why_unsafe(connection, login, names)
        if reason is None:
            return None
        raise UnsafeRoleError(
            f"Requests cannot run safely: {reason}, and {names.requests} is not there to switch to; "
            "run: taskward migrate"
        )
    if reason := await why_unsafe(connection, names.requests, names):
        raise UnsafeRoleError(f"Requests cannot run safely: {reason}; take that from it.")
    return names.requests
