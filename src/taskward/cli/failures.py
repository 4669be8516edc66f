"""The errors that may end a command. Each is one sentence, without a traceback and without a password."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import asyncpg

from taskward.identity import FetchError, KeyConfigurationError
from taskward.postgres import EmbeddedServerError
from taskward.settings import SettingsError
from taskward.storage.citus import CitusError
from taskward.storage.database import SchemaBehindError, UnsafeRoleError
from taskward.storage.dsn import AddressError
from taskward.storage.migrate import MigrationError
from taskward.storage.roles import MissingPrivilegeError


class CommandError(Exception):
    """A command cannot do what it was asked; the message is one sentence."""


_OUR_OWN = (
    AddressError,
    CitusError,
    CommandError,
    EmbeddedServerError,
    FetchError,
    KeyConfigurationError,
    MigrationError,
    MissingPrivilegeError,
    SchemaBehindError,
    SettingsError,
    UnsafeRoleError,
)
FAILURES = (*_OUR_OWN, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


@contextlib.contextmanager
def blaming(variable: str) -> Iterator[None]:
    """Name this setting, and not `DATABASE_URL`, when a database cannot be connected to."""
    try:
        yield
    except FAILURES as error:
        raise CommandError(sentence(error, variable)) from None


def sentence(error: BaseException, variable: str = "DATABASE_URL") -> str:
    """Say what went wrong and where to look.

    Args:
        variable: The setting that has the database's address.
    """
    if isinstance(error, _OUR_OWN):
        return str(error)
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return f"The database refused the login: {error}. Check user and password in {variable}."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        # Not `capitalize`, which would write the database's name in small letters.
        message = str(error)
        return f"{message[:1].upper()}{message[1:]}. Create it, or check {variable}."
    if isinstance(error, asyncpg.PostgresError):
        return f"The database refused: {error}."
    if isinstance(error, TimeoutError):
        return f"The database did not answer in time. Check host and port in {variable}."
    where = "sslmode" if "SSL" in str(error) else "host and port"
    return f"The database cannot be reached: {error}. Check {where} in {variable}."
