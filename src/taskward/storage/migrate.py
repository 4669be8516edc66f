"""Brings a database to the schema that this version of Taskward needs: tables, row-level security, roles, grants.

All of it is one transaction under a lock, so it either happened or did not, however many processes start at once.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncpg import InsufficientPrivilegeError

from taskward.storage import citus
from taskward.storage.dsn import Address
from taskward.storage.pool import Connection, connect
from taskward.storage.quoting import SCHEMA, quote_identifier, quote_literal
from taskward.storage.renaming import foreign_ownership, former_roles, memberships, reclaim
from taskward.storage.roles import (
    MissingPrivilegeError,
    RoleNames,
    admin_sql,
    creation_sql,
    foreign_encoding,
    grant_sql,
    handover_sql,
    is_handed_over,
    protect,
    why_unsafe,
)
from taskward.storage.tables import rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from sqlalchemy import Connection as SyncConnection

OLDEST_SERVER = 150_000
VERSION_TABLE_OPTIONS: dict[str, Any] = {"version_table": "alembic_version", "version_table_schema": SCHEMA}
_MIGRATIONS = Path(__file__).parent / "migrations"
_alembic = asyncio.Lock()  # its context is one per process, and `run_sync` lets other tasks run in between
_LOCK = 0x7461736B77617264  # "taskward" in ASCII, as the key of an advisory lock


class MigrationError(Exception):
    """The database cannot be migrated; the message is one sentence that says why and what to do."""


# Alembic and SQLAlchemy's engine are imported where they work: a start that has nothing to migrate does without.


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


@cache
def revisions() -> tuple[str, ...]:
    """Every schema version, oldest first; a version's file is named for it."""
    return tuple(sorted(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py")))


def head() -> str:
    """The schema version that this code needs."""
    return revisions()[-1]


async def current(connection: Connection) -> str | None:
    """The schema version of a database, or None where Taskward was never migrated to or cannot be read."""
    table = f"{SCHEMA}.alembic_version"
    readable = await connection.fetchval(
        "SELECT CASE WHEN to_regnamespace($1) IS NULL OR NOT has_schema_privilege($1, 'USAGE') THEN false"
        " ELSE to_regclass($2) IS NOT NULL AND has_column_privilege($2, 'version_num', 'SELECT') END",
        SCHEMA,
        table,
    )
    return await connection.fetchval(f"SELECT version_num FROM {table}") if readable else None  # noqa: S608 - our own


async def migrate(owner: Address, requests: Address | None = None, *, shards: int | None = None) -> list[str]:
    """Migrate to `head` and give each role exactly its rights. Tables that are distributed over a Citus cluster stay
    so, and new ones join them.

    Args:
        owner: The address of the role that owns, or will own, the schema.
        requests: The address that requests use, where it is another role's.
        shards: Distribute the tables, each into so many shards, where they are not distributed; None leaves them.

    Returns:
        What was distributed, in sentences.

    Raises:
        MigrationError: The server is too old, the schema is of a newer Taskward, or the connection was lost.
        MissingPrivilegeError: A role has to be made by someone who may.
        CitusError: The tables cannot be distributed.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    login = await _role_of(requests) if requests is not None else None
    done: list[str] = []
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(owner), poolclass=NullPool)
    try:
        async with engine.begin() as transaction:
            raw = (await transaction.get_raw_connection()).driver_connection
            assert raw is not None, "the engine has just connected"  # noqa: S101
            await transaction.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await _check_server(raw)
            await _check_owner(raw)
            was_distributed = await citus.is_distributed(raw)
            distributed = was_distributed or shards is not None
            if distributed:
                await citus.begin(raw)
            requests_role = await _prepare_roles(raw, login, distributed=distributed)
            # Before anything is locked, for which they are asked on other connections.
            nodes = await citus.check_nodes(raw, requests_role) if was_distributed else []
            async with _alembic:
                await transaction.run_sync(_upgrade)
            database, version = await _facts(raw)
            names = RoleNames.of(database)
            await _check_tables(raw)
            former = await former_roles(raw, names)
            if distributed and not was_distributed:
                await citus.shut_out(raw, requests_role)
            if distributed:
                done = await citus.distribute(raw, shards=citus.SHARDS if shards is None else shards)
            await protect(raw, names, citus.unprotected_shards(nodes), distributed=distributed)
            statements = grant_sql(names, requests_role, former, distributed=distributed)
            # A node that was added later lets everybody run functions.
            is_done = all(node.is_handed_over for node in nodes)
            if not (is_done and await is_handed_over(raw, names, requests_role)):
                if distributed:
                    # It drops a function on the nodes for its owner alone.
                    await raw.execute(f"GRANT {quote_identifier(names.probe)} TO CURRENT_USER")
                await reclaim(raw)
                statements += handover_sql(names, requests_role)
            for statement in statements:
                await raw.execute(statement)
            await _leave(raw, names, version)
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None)
        reason = getattr(original, "__cause__", None) or original or error
        reason = getattr(reason, "message", None) or reason  # without its DETAIL, which may quote a row
        raise MigrationError(f"The migration failed and changed nothing: {reason}.") from error
    finally:
        await engine.dispose()
    return done


def migration_sql(database: str, login: str) -> str:
    """The same as a script for `psql`, for a database that was never migrated.

    Args:
        database: The database's name, which the roles are named for.
        login: The role that connects for requests.
    """
    from alembic import command  # noqa: PLC0415

    config = _config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    body = config.output_buffer.getvalue().strip()
    body = body.removeprefix("BEGIN;").removesuffix("COMMIT;").strip()
    names = RoleNames.of(database)
    lines = [
        "BEGIN;",
        *_for_any_version(lambda version: creation_sql(names, login, server_version=version)),
        f"CREATE SCHEMA {SCHEMA};",
        body,
        *(f"{line};" for line in grant_sql(names, names.requests)),
        *(f"{line};" for line in handover_sql(names, names.requests)),
        "COMMIT;",
    ]
    return "\n".join(lines) + "\n"


def _for_any_version(statements: Callable[[int], Sequence[str]]) -> Iterator[str]:
    """The statements, each as PostgreSQL 15 reads it or, where that differs, as later versions do."""
    for old, new in zip(statements(OLDEST_SERVER), statements(160_000), strict=True):
        if old == new:
            yield f"{new};"
        else:
            yield (
                "DO $taskward$ BEGIN IF current_setting('server_version_num')::int >= 160000"
                f" THEN EXECUTE {quote_literal(new)}; ELSE EXECUTE {quote_literal(old)}; END IF; END $taskward$;"
            )


def _upgrade(connection: SyncConnection) -> None:
    from alembic import command  # noqa: PLC0415

    config = _config()
    config.attributes["connection"] = connection
    # A role that may not make one is refused even where it exists.
    if connection.exec_driver_sql(f"SELECT pg_catalog.to_regnamespace('{SCHEMA}') IS NULL").scalar():
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
    command.upgrade(config, "head")


async def _role_of(address: Address) -> str:
    connection = await connect(address)
    try:
        return str(await connection.fetchval("SELECT current_user::text"))
    finally:
        await connection.close()


async def _facts(connection: Connection) -> tuple[str, int]:
    row = await connection.fetchrow(
        "SELECT current_database()::text AS name, current_setting('server_version_num')::int AS version"
    )
    assert row is not None, "a SELECT without FROM has a row"  # noqa: S101
    return row["name"], row["version"]


async def _check_server(connection: Connection) -> None:
    _, version = await _facts(connection)
    if version < OLDEST_SERVER:
        raise MigrationError(f"PostgreSQL {version // 10_000} is too old; 15 or newer is needed.")
    if reason := await foreign_encoding(connection):
        raise MigrationError(reason)
    found = await current(connection)
    if found is not None and found not in revisions():
        raise MigrationError(f"The schema is at version {found}, of a newer Taskward; upgrade Taskward to use it.")


async def _check_tables(connection: Connection) -> None:
    """Refuse to leave out the rights on a table whose slice was not imported."""
    tables = await connection.fetch("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = $1", SCHEMA)
    if unknown := {row["tablename"] for row in tables} - rights().keys():
        raise MigrationError(f"No class is known of {', '.join(sorted(unknown))}; import taskward.app first.")


async def _check_owner(connection: Connection) -> None:
    if (found := await foreign_ownership(connection)) is None:
        return
    owner, statements = found
    raise MissingPrivilegeError(
        f"The schema {SCHEMA} belongs to role {owner}. Migrate as that role, or have a superuser run this once in this"
        " database, then migrate again:\n  " + ";\n  ".join(statements) + ";"
    )


async def _leave(connection: Connection, names: RoleNames, version: int) -> None:
    """See to it that the owner role cannot act as the probe role, by which it would see everybody's rows."""
    if await memberships(connection, names, server_version=version):
        # Whoever let it in may be the only one who can end that.
        with suppress(InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(f"REVOKE {quote_identifier(names.probe)} FROM CURRENT_USER")
    if statements := await memberships(connection, names, server_version=version):
        raise MissingPrivilegeError(
            f"By {names.probe} the owner of the tables would see the rows of every user. Have a superuser run this"
            " once, then migrate again:\n  " + ";\n  ".join(statements) + ";"
        )


async def _prepare_roles(connection: Connection, login: str | None, *, distributed: bool) -> str:
    """Make what roles are missing.

    Args:
        login: The role that connects for requests, where it is not the owner.

    Returns:
        The role that requests run as.
    """
    database, version = await _facts(connection)
    names = RoleNames.of(database)
    owner, may_create = await connection.fetchrow(  # type: ignore[misc]
        "SELECT rolname::text, rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    dedicated = login is not None and login != owner and await why_unsafe(connection, login, names) is None
    if distributed and not dedicated:
        raise citus.CitusError(
            "On a cluster every node is asked as the role of DATABASE_URL, which must bind it: let DATABASE_URL name a"
            " role that may only log in, and TASKWARD_MIGRATE_URL the owner of the tables."
        )
    role = login if dedicated and login is not None else names.requests
    if distributed and (statements := await citus.introductions(connection, owner, role)):
        raise MissingPrivilegeError(
            "Citus does not know these roles in this database. Have a superuser run this once, in this database and on"
            " the coordinator, then migrate again:\n  " + ";\n  ".join(statements) + ";"
        )
    # Citus garbles what else a GRANT of a role says (14.0.1), and hands it on as soon as it is there.
    said = OLDEST_SERVER if await citus.installed_version(connection) else version
    made, probe, granted = creation_sql(names, login or owner, server_version=said, distributed=distributed)
    roles = await connection.fetch("SELECT rolname::text AS name, rolcanlogin AS may_log_in FROM pg_roles")
    logins: dict[str, bool] = {row["name"]: row["may_log_in"] for row in roles}
    wanted = [] if dedicated or names.requests in logins else [made, granted]
    if names.probe not in logins:
        wanted.append(probe)
    elif distributed and not logins[names.probe]:
        wanted.append(f"ALTER ROLE {quote_identifier(names.probe)} LOGIN")
    missing = wanted if not may_create else []
    if not await _may_hand_over(connection, names, role, may_create=may_create, present=names.probe in logins):
        missing = [*missing, admin_sql(names, owner, server_version=version)]
    if missing:
        raise MissingPrivilegeError(
            f"Role {owner} may not create roles. Have someone who may run this once, then migrate again:\n"
            "  " + ";\n  ".join(missing) + ";"
        )
    for statement in wanted:
        await connection.execute(statement)
    return role


async def _may_hand_over(
    connection: Connection, names: RoleNames, role: str, *, may_create: bool, present: bool
) -> bool:
    if not present:
        return may_create  # whoever makes a role administers it
    return await is_handed_over(connection, names, role) or await connection.fetchval(
        "SELECT r.rolsuper OR pg_has_role(r.oid, $1::name, 'MEMBER WITH ADMIN OPTION')"
        " OR (r.rolcreaterole AND current_setting('server_version_num')::int < 160000)"
        " FROM pg_roles r WHERE r.rolname = current_user",
        names.probe,
    )
