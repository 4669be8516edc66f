"""`taskward migrate`."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import unquote, urlsplit

from taskward.cli.environment import addresses, any_database
from taskward.database.migrate import migrate, migration_sql
from taskward.settings import load_settings


def run_migrations() -> int:
    settings = load_settings()
    with any_database(settings) as (requests, owner):
        version = asyncio.run(migrate(owner, requests if requests != owner else None))
    sys.stdout.write(f"The schema is at version {version}.\n")
    return 0


def print_sql() -> int:
    settings = load_settings()
    database = login = "taskward"
    if settings.database_url is not None:
        # The script names its roles for the database, so it must know which one it is for.
        parts = urlsplit(addresses(settings)[0].dsns[0])
        database, login = unquote(parts.path.lstrip("/")) or database, unquote(parts.username or login)
    sys.stdout.write(migration_sql(database, login))
    return 0
