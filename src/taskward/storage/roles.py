"""The roles by which PostgreSQL itself keeps users apart, and the check that they do.

- The *owner* role owns the schema and runs migrations: the role of `TASKWARD_MIGRATE_URL`, else of `DATABASE_URL`.
- The *requests* role runs requests. It owns nothing and bypasses nothing, so row-level security binds it. Where the
  role of `DATABASE_URL` is such a role already, it is that one; else a NOLOGIN role is made and each transaction
  switches to it.
- The *probe* role owns the functions that tell 403 from 404. Its policies may read one column, `id`.

Roles belong to the whole cluster, so those made here are named for the database.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b

from taskward.storage.pool import Connection
from taskward.storage.quoting import SCHEMA, quote_identifier
from taskward.storage.tables import probed_tables, rights

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


def creation_sql(names: RoleNames, login: str, *, server_version: int) -> list[str]:
    """The statements that make both roles and let the login role switch to the requests role.

    Args:
        login: The role that connects for requests.
        server_version: As `server_version_num`.
    """
    requests, probe, login = (quote_identifier(n) for n in (names.requests, names.probe, login))
    # INHERIT FALSE: the login role gains nothing until a transaction switches. PostgreSQL 15 has no such option.
    options = " WITH SET TRUE, INHERIT FALSE" if server_version >= 160_000 else ""  # noqa: PLR2004
    return [
        f"CREATE ROLE {requests} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS",
        f"CREATE ROLE {probe} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS",
        f"GRANT {requests} TO {login}{options}",
    ]


def probe_functions() -> list[str]:
    """The functions that say whether an id is in use, by anybody."""
    return [f"{SCHEMA}.{table}_exists(uuid)" for table in probed_tables()]


def grant_sql(names: RoleNames, requests: str, former: Collection[str] = ()) -> list[str]:
    """The statements, run by the owner role after the tables exist, that give each role exactly its rights.

    Args:
        requests: The role that requests run as.
        former: Roles that had rights while the database had another name.
    """
    role, probe = quote_identifier(requests), quote_identifier(names.probe)
    others = ", ".join(quote_identifier(name) for name in former)
    sql = [
        *([f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {others}"] if former else []),
        *([f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {others}"] if former else []),
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}, {probe}",
    ]
    for table, privileges in rights().items():
        listed = ", ".join(f"{verb} ({', '.join(cols)})" if cols else verb for verb, cols in privileges.items())
        sql.append(f"GRANT {listed} ON {SCHEMA}.{table} TO {role}")
    for table in probed_tables():
        sql += [
            f"GRANT SELECT (id) ON {SCHEMA}.{table} TO {probe}",
            f"DROP POLICY IF EXISTS probe ON {SCHEMA}.{table}",
            f"CREATE POLICY probe ON {SCHEMA}.{table} FOR SELECT TO {probe} USING (true)",
        ]
    return sql


def handover_sql(names: RoleNames, requests: str, *, server_version: int) -> list[str]:
    """The statements, run by the owner role, that hand the probe functions over to the probe role.

    That needs membership in the probe role. It is given and taken away again here, within the migration's
    transaction: a membership left behind would let the owner role see every user's rows.

    Args:
        requests: The role that requests run as.
        server_version: As `server_version_num`.
    """
    role, probe = quote_identifier(requests), quote_identifier(names.probe)
    options = " WITH SET TRUE, INHERIT FALSE" if server_version >= 160_000 else ""  # noqa: PLR2004
    functions = ", ".join(probe_functions())
    return [
        f"GRANT {probe} TO CURRENT_USER{options}",
        f"GRANT CREATE ON SCHEMA {SCHEMA} TO {probe}",
        *(f"ALTER FUNCTION {function} OWNER TO {probe}" for function in probe_functions()),
        f"SET LOCAL ROLE {probe}",
        f"REVOKE ALL ON FUNCTION {functions} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {functions} TO {role}",
        "RESET ROLE",
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
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity
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


async def unprotected(connection: Connection, names: RoleNames) -> list[str]:
    """The tables with a `user_id` that row-level security does not guard as it should."""
    rows = await connection.fetch(_UNPROTECTED, names.probe, _OWNER_ONLY)
    return [row["relname"] for row in rows]


async def protect(connection: Connection, names: RoleNames) -> None:
    """Put the row-level security of Taskward's tables back in force, where somebody changed it."""
    for name in await unprotected(connection, names):
        if name not in rights():
            continue
        table = f"{SCHEMA}.{name}"
        policies = await connection.fetch(
            "SELECT polname FROM pg_catalog.pg_policy WHERE polrelid = $1::pg_catalog.regclass AND polpermissive", table
        )
        for (policy,) in policies:
            await connection.execute(f"DROP POLICY {quote_identifier(policy)} ON {table}")
        await connection.execute(
            f"CREATE POLICY owner ON {table} USING {_OWNER_ONLY} WITH CHECK {_OWNER_ONLY};"
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        )


async def why_unsafe(connection: Connection, role: str, names: RoleNames) -> str | None:
    """Why requests must not run as `role`, or None."""
    row = await connection.fetchrow(_WHY_UNSAFE, role, names.probe)
    if row is None:
        return None
    if row["rolname"] == role:
        return f"role {role} {row['reason']}"
    return f"role {role} is a member of {row['rolname']}, which {row['reason']}"


async def foreign_encoding(connection: Connection) -> str | None:
    """Why the database cannot hold what users send, or None.

    Only UTF-8 keeps every character apart. EUC_JP stores two of them alike, by which two users would be one; others
    have no place for most characters, or count bytes for them.
    """
    encoding = await connection.fetchval("SELECT pg_catalog.current_setting('server_encoding')")
    if encoding == "UTF8":
        return None
    return f"The database's encoding is {encoding}, and UTF8 is needed: make another with ENCODING 'UTF8'."


async def choose_requests_role(connection: Connection) -> str | None:
    """Decide how requests become a role that row-level security binds.

    Returns:
        The role that each transaction switches to, or None where the connection's own role is safe.

    Raises:
        UnsafeRoleError: There is no safe role to run as, a table is not protected, or the encoding is not UTF-8.
    """
    if reason := await foreign_encoding(connection):
        raise UnsafeRoleError(reason)
    login, database = await connection.fetchrow("SELECT current_user::text, current_database()::text")  # type: ignore[misc]
    names = RoleNames.of(database)
    if tables := await unprotected(connection, names):
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
