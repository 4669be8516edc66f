"""`taskward migrate`."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

# By its slices it is known which tables there are.
import taskward.app  # noqa: F401
from taskward.cli.environment import addresses, any_database, data_dir
from taskward.cli.failures import blaming
from taskward.settings import load_settings
from taskward.storage.citus import SHARDS
from taskward.storage.dsn import Address
from taskward.storage.migrate import head, migrate, migration_sql
from taskward.storage.pool import connect

__all__ = ["SHARDS", "bring_up_to_date", "print_sql", "run_migrations"]


def run_migrations(*, shards: int | None = None) -> int:
    """Migrate, and say what was done.

    Args:
        shards: Distribute the tables over a Citus cluster, each into so many shards; None leaves them as they are.
    """
    settings = load_settings()
    with any_database(settings) as (requests, owner):
        done = bring_up_to_date(requests, owner, shards=shards)
    for sentence in done:
        sys.stdout.write(f"{sentence}\n")
    where = f"the embedded server in {data_dir(settings)}" if settings.database_url is None else name_of(owner)
    sys.stdout.write(f"The schema of {where} is at version {head()}.\n")
    return 0


def bring_up_to_date(requests: Address, owner: Address, *, shards: int | None = None) -> list[str]:
    """Migrate; see `storage.migrate.migrate`."""
    # Before, because then it is known which of the two cannot be connected to.
    asyncio.run(_reach(requests))
    if owner == requests:
        return asyncio.run(migrate(owner, shards=shards))
    with blaming("TASKWARD_MIGRATE_URL"):
        asyncio.run(_reach(owner))
    return asyncio.run(migrate(owner, requests, shards=shards))


async def _reach(address: Address) -> None:
    connection = await connect(address)
    await connection.close()


def name_of(address: Address) -> str:
    """The database and the hosts of an address, without who logs in there."""
    hosts = []
    database = None
    for dsn in address.dsns:
        parts = urlsplit(dsn)
        parameters = dict(parse_qsl(parts.query))
        hosts.append(parts.hostname or parameters.get("host"))
        database = unquote(parts.path.lstrip("/")) or parameters.get("dbname") or parameters.get("database")
    where = ", ".join(filter(None, hosts))
    return (f"database {database}" if database else "the database") + (f" on {where}" if where else "")


def print_sql() -> int:
    settings = load_settings()
    database = login = "taskward"
    if settings.database_url is not None:
        # The script names its roles for the database, so it must know which one it is for.
        parts = urlsplit(addresses(settings)[0].dsns[0])
        database, login = unquote(parts.path.lstrip("/")) or database, unquote(parts.username or login)
    sys.stdout.write(migration_sql(database, login))
    return 0
