"""Where the commands find their database and their secret: as configured, or of the embedded server."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from taskward.cli.failures import CommandError
from taskward.postgres import EmbeddedServerError, default_data_dir, read_dsn, running
from taskward.settings import Settings
from taskward.storage.dsn import Address, parse_address

_SECRET_FILE = "development-secret"  # noqa: S105 - a file's name


def data_dir(settings: Settings) -> Path:
    return settings.data_dir or default_data_dir()


def addresses(settings: Settings) -> tuple[Address, Address]:
    """Where requests go and where migrations go, of a configured database."""
    assert settings.database_url is not None, "asked for a configured database"  # noqa: S101
    requests = parse_address(settings.database_url.get_secret_value(), pooled=settings.pooled)
    if settings.migrate_url is None:
        return requests, requests
    url = settings.migrate_url.get_secret_value()
    return requests, parse_address(url, pooled=settings.pooled, variable="TASKWARD_MIGRATE_URL")


@contextlib.contextmanager
def any_database(settings: Settings) -> Iterator[tuple[Address, Address]]:
    """The configured database; else the embedded one, started for as long as it is needed if it is not running."""
    if settings.database_url is not None:
        yield addresses(settings)
        return
    with contextlib.ExitStack() as stack:
        try:
            dsn = read_dsn(data_dir(settings))
        except EmbeddedServerError:
            dsn = stack.enter_context(running(data_dir(settings), binaries=settings.postgres_bin)).dsn
        address = parse_address(dsn)
        yield address, address


def uses_development_secret(settings: Settings) -> bool:
    """Whether there is neither a key nor a database, so that `serve` brings both."""
    return settings.database_url is None and not settings.has_keys


def with_development_secret(settings: Settings) -> Settings:
    """The settings, with the development secret where that is used and was made."""
    if not uses_development_secret(settings):
        return settings
    path = data_dir(settings) / _SECRET_FILE
    try:
        secret = path.read_text("ascii").strip() if path.exists() else None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    return settings if secret is None else settings.model_copy(update={"jwt_secret": SecretStr(secret)})


def make_development_secret(settings: Settings) -> None:
    """Make the secret of the embedded mode, readable by its user only, unless there is one."""
    if with_development_secret(settings).has_keys:
        return
    path = data_dir(settings) / _SECRET_FILE
    secret = secrets.token_urlsafe(48)
    # Written whole under another name first: a crash must not leave half a secret.
    draft = path.with_name(f"{_SECRET_FILE}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    draft.replace(path)
