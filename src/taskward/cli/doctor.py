"""`taskward doctor`: whether this configuration would serve, and if not, how to mend it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from taskward.cli.environment import any_database, data_dir, shared_secret
from taskward.cli.failures import FAILURES, CommandError, sentence
from taskward.database.connections import connect
from taskward.database.database import check_schema
from taskward.database.dsn import Address
from taskward.database.embedded import clusters, find
from taskward.database.migrate import OLDEST_SERVER, head
from taskward.database.roles import UnsafeRoleError, choose_requests_role
from taskward.identity import Verifier, load_key
from taskward.settings import Settings, load_settings


def doctor() -> int:
    """Run the checks in the order in which they matter; one that fails does not hide the next."""
    settings: list[Settings] = []
    if not _check("settings", lambda: _settings(settings)):
        return 1
    healthy = _check("keys", lambda: _keys(settings[0]))
    if settings[0].database_url is None and not _made(data_dir(settings[0])):
        return 0 if _check("database", lambda: _programs(settings[0])) and healthy else 1
    try:
        with any_database(settings[0]) as (requests, _owner):
            # What cannot be reached cannot be asked for its schema either.
            if not _check("database", lambda: asyncio.run(_server(requests))):
                return 1
            healthy &= _check("schema", lambda: asyncio.run(_schema(requests)))
            healthy &= _check("role", lambda: asyncio.run(_role(requests)))
    except FAILURES as error:
        _say("database", sentence(error), good=False)
        healthy = False
    return 0 if healthy else 1


def _made(directory: Path) -> bool:
    return directory.is_dir() and bool(clusters(directory))


def _check(name: str, check: Callable[[], str]) -> bool:
    try:
        found = check()
    except FAILURES as error:
        _say(name, sentence(error), good=False)
        return False
    _say(name, found, good=True)
    return True


def _say(name: str, text: str, *, good: bool) -> None:
    sys.stdout.write(f"{'ok  ' if good else 'FAIL'} {name}: {text}\n")


def _settings(found: list[Settings]) -> str:
    found.append(load_settings())
    if found[0].database_url is not None:
        return "DATABASE_URL is set."
    return f"DATABASE_URL is not set, so the embedded server is used; its data is in {data_dir(found[0])}."


def _keys(settings: Settings) -> str:
    secret = shared_secret(settings)
    if secret is None and settings.public_key is None and settings.database_url is None:
        return "a development secret will be made by the first `taskward serve`."
    key = load_key(secret, settings.public_key)
    Verifier(key)
    if key.algorithm != "HS256" and not settings.audience:
        return f"{key.algorithm}; TASKWARD_AUDIENCE is not set, so any token of the issuer is accepted."
    return f"{key.algorithm}."


def _programs(settings: Settings) -> str:
    return f"the first `taskward serve` will make one, of PostgreSQL {find(settings.postgres_bin).version}."


async def _server(address: Address) -> str:
    connection = await connect(address)
    try:
        version = int(await connection.fetchval("SELECT current_setting('server_version_num')::int"))
    finally:
        await connection.close()
    if version < OLDEST_SERVER:
        raise CommandError(f"PostgreSQL {version // 10_000} is too old; 15 or newer is needed.")
    return f"PostgreSQL {version // 10_000}.{version % 10_000}{', through a pooler' if address.pooled else ''}."


async def _schema(address: Address) -> str:
    connection = await connect(address)
    try:
        async with connection.transaction():
            # As a request would: the login may have no rights of its own.
            role = None
            with contextlib.suppress(UnsafeRoleError):
                role = await choose_requests_role(connection)
            await check_schema(connection, role)
    finally:
        await connection.close()
    return f"at version {head()}."


async def _role(address: Address) -> str:
    connection = await connect(address)
    try:
        async with connection.transaction():
            role = await choose_requests_role(connection)
    finally:
        await connection.close()
    return "requests run as the login's own role." if role is None else f"each transaction switches to {role}."
