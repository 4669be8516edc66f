"""`taskward doctor`: whether this configuration would serve, and if not, how to mend it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import asyncpg

from taskward.app import accepts_any_audience, make_verifier
from taskward.cli.environment import any_database, data_dir, uses_development_secret, with_development_secret
from taskward.cli.failures import FAILURES, CommandError, blaming, sentence
from taskward.identity import Claims, KeyNotFound, NotCompact, TokenRejected, Verifier
from taskward.identity.keys import VerificationKey
from taskward.identity.owner import READ_SCOPE, WRITE_SCOPE
from taskward.postgres import clusters, find
from taskward.settings import Settings, load_settings
from taskward.storage import citus
from taskward.storage.database import check_schema
from taskward.storage.dsn import Address
from taskward.storage.migrate import OLDEST_SERVER, head
from taskward.storage.pool import connect
from taskward.storage.pooler import refuse_hidden_pooler
from taskward.storage.roles import UnsafeRoleError, choose_requests_role, probe_functions

_LONGEST_SHOWN = 200
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def doctor(token: str | None = None) -> int:
    """Run the checks in the order in which they matter; one that fails does not hide the next.

    Args:
        token: Say why this token is or is not accepted, and leave the database alone. `-` reads it from stdin.
    """
    settings: list[Settings] = []
    if not _check("settings", lambda: _settings(settings)):
        return 1
    verifier: list[Verifier] = []
    healthy = _check("keys", lambda: _keys(settings[0], verifier))
    if token is not None:
        return 0 if _token(settings[0], verifier, token) else 1
    if settings[0].database_url is None and not _made(data_dir(settings[0])):
        return 0 if _check("database", lambda: _programs(settings[0])) and healthy else 1
    try:
        with any_database(settings[0]) as (requests, owner):
            reached = _check("database", lambda: asyncio.run(_server(requests)))
            if owner != requests:
                healthy &= _check("owner", lambda: _owner(owner))
            # What cannot be reached cannot be asked for its schema either.
            if not reached:
                return 1
            healthy &= _check("schema", lambda: asyncio.run(_schema(requests)))
            healthy &= _check("role", lambda: asyncio.run(_role(requests)))
            nodes = asyncio.run(_nodes(requests))
            for node in nodes:
                _say(f"node {node.name}", node.problem or "row-level security is in force.", good=not node.problem)
                healthy &= not node.problem
            if nodes:
                healthy &= _check("probe", lambda: asyncio.run(_probe(requests)))
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


def _warn(name: str, text: str) -> None:
    sys.stdout.write(f"warn {name}: {text}\n")


def _settings(found: list[Settings]) -> str:
    found.append(with_development_secret(load_settings()))
    if found[0].database_url is not None:
        return "DATABASE_URL is set."
    return f"DATABASE_URL is not set, so the embedded server is used; its data is in {data_dir(found[0])}."


def _keys(settings: Settings, found: list[Verifier]) -> str:
    if uses_development_secret(settings):
        return "a development secret will be made by the first `taskward serve`."
    verifier = make_verifier(settings)
    skipped = asyncio.run(verifier.keys.load())
    for sentence_ in skipped:
        _warn("keys", f"{sentence_}; it is not used.")
    keys = verifier.keys.current
    if keys is None or (not keys.keys and skipped):
        raise CommandError("the issuer publishes no key that could verify a token.")
    if accepts_any_audience(settings):
        _warn("keys", "TASKWARD_AUDIENCE is not set, so tokens that the issuer made for other services are accepted.")
    found.append(verifier)
    if not keys.keys:
        return "the issuer publishes none now; it is asked again every 30 seconds, and when a token of one comes."
    return "; ".join(_describe(key) for key in keys.keys) + "."


def _describe(key: VerificationKey) -> str:
    name = "" if key.kid is None else f" as {_shown(key.kid)}"
    return f"{'/'.join(key.algorithms)}{name}"


def _token(settings: Settings, verifier: list[Verifier], token: str) -> bool:
    given = _read(token) if verifier else ""
    if given:
        return _explain(settings, verifier[0], given)
    where = " on standard input" if token == "-" else ""  # noqa: S105 - stdin
    _say("token", f"there is no token{where}." if verifier else "there is no key to verify it with.", good=False)
    return False


def _read(token: str) -> str:
    if token == "-":  # noqa: S105 - stdin
        token = sys.stdin.read()
    # As it is copied from a request.
    return re.sub(r"(?i)^(authorization:\s*)?bearer(\s+|$)", "", token.strip())


def _explain(settings: Settings, verifier: Verifier, token: str) -> bool:
    """Say step by step whether a token is accepted. Neither it nor the user's id is shown."""

    def note(text: str, found: object) -> None:
        _say("token", text + (f": {_shown(found)}." if found is not None else "."), good=True)

    try:
        claims = verifier.explain(token, note)
    except TokenRejected as error:
        text = error.reason + ("" if error.found is None else f"; it has {_shown(error.found)}")
        if isinstance(error, NotCompact):
            text += f": it has {_misshapen(token)}"
        if isinstance(error, KeyNotFound) and verifier.keys.current is not None:
            known = "; ".join(map(_describe, verifier.keys.current.keys))
            text += f"; known are {known}" if known else "; none is known"
        _say("token", f"{text}.", good=False)
        return False
    allowed = _may(settings, claims)
    _say("token", "it is accepted." if allowed else "it is accepted, and may do nothing.", good=allowed)
    return allowed


def _misshapen(token: str) -> str:
    segments = token.split(".")
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7515, section 7.1
        return f"{len(segments)} segment{'s' if len(segments) > 1 else ''}"
    if not all(segments):
        return "an empty segment"
    if not all(map(_BASE64URL.fullmatch, segments)):
        return "characters that base64url has not"
    return "a segment that is cut off or not canonical"


def _may(settings: Settings, claims: Claims) -> bool:
    if settings.scopes == "ignored":
        return True
    missing = [scope for scope in (READ_SCOPE, WRITE_SCOPE) if scope not in claims.scopes]
    for scope in missing:
        _warn("token", f"it does not have the scope {scope}.")
    return len(missing) < len((READ_SCOPE, WRITE_SCOPE))


def _shown(value: object) -> str:
    """A value of a token in a terminal: on one line, and without anything that a terminal would obey."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _programs(settings: Settings) -> str:
    return f"the first `taskward serve` will make one, of PostgreSQL {find(settings.postgres_bin).version}."


async def _server(address: Address) -> str:
    await refuse_hidden_pooler(address)
    connection = await connect(address)
    try:
        version = int(await connection.fetchval("SELECT current_setting('server_version_num')::int"))
    finally:
        await connection.close()
    if version < OLDEST_SERVER:
        raise CommandError(f"PostgreSQL {version // 10_000} is too old; 15 or newer is needed.")
    return f"PostgreSQL {version // 10_000}.{version % 10_000}{', through a pooler' if address.pooled else ''}."


def _owner(address: Address) -> str:
    async def role() -> str:
        connection = await connect(address)
        try:
            return str(await connection.fetchval("SELECT current_user::text"))
        finally:
            await connection.close()

    with blaming("TASKWARD_MIGRATE_URL"):
        return f"migrations run as {asyncio.run(role())}."


async def _schema(address: Address) -> str:
    connection = await connect(address)
    try:
        async with connection.transaction():
            # As a request would: the login may have no rights of its own.
            role = None
            with contextlib.suppress(UnsafeRoleError):
                role = await choose_requests_role(connection, distributed=await citus.is_distributed(connection))
            await check_schema(connection, role)
    finally:
        await connection.close()
    return f"at version {head()}."


async def _nodes(address: Address) -> list[citus.Node]:
    connection = await connect(address)
    try:
        async with connection.transaction():
            return await citus.check_nodes(connection) if await citus.is_distributed(connection) else []
    finally:
        await connection.close()


async def _probe(address: Address) -> str:
    """Ask as a request does that finds nothing: nodes let the probe role in by a rule of its own."""
    connection = await connect(address)
    try:
        for function in probe_functions():
            await connection.fetchval(f"SELECT {function.partition('(')[0]}($1)", [uuid4()])
    except asyncpg.PostgresConnectionError as error:
        reason = str(error).partition("\n")[0]
        raise CommandError(f"Nodes do not let its role in, so that a 403 or 404 is 503: {reason}.") from None
    finally:
        await connection.close()
    return "it is answered by every node."


async def _role(address: Address) -> str:
    connection = await connect(address)
    try:
        async with connection.transaction():
            role = await choose_requests_role(connection, distributed=await citus.is_distributed(connection))
    finally:
        await connection.close()
    return "requests run as the login's own role." if role is None else f'each transaction switches to "{role}".'
