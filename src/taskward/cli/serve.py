"""`taskward serve`: the parent process, which owns the embedded server, migrates, and runs the workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging.config
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import SecretStr

from taskward import __version__
from taskward.app import make_verifier
from taskward.cli.environment import (
    addresses,
    data_dir,
    make_development_secret,
    uses_development_secret,
    with_development_secret,
)
from taskward.cli.failures import FAILURES, CommandError, sentence
from taskward.cli.logs import configuration, format_of
from taskward.cli.migrate import bring_up_to_date
from taskward.cli.token import make_token
from taskward.cli.workers import run_workers
from taskward.postgres import EmbeddedServer, running
from taskward.runtime.log import get_logger, outcome
from taskward.settings import Settings, load_settings
from taskward.storage.database import Database, SchemaBehindError, UnsafeRoleError
from taskward.storage.dsn import Address
from taskward.storage.migrate import head

_DAY = 86_400
_INTERRUPTED = 130  # as shells have it for Ctrl-C
_log = get_logger("taskward.serve")
_told: signal.Signals | None = None
_ANNOUNCE_SECONDS = 60


def serve(overrides: dict[str, Any], *, reload: bool) -> int:
    """Run until SIGINT or SIGTERM; then let running requests finish and stop whatever was started.

    Args:
        overrides: Settings from the command line.
        reload: Whether to restart workers when the package's code changes.

    Returns:
        0 when it was told to stop, 1 when its workers could not go on.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)
    settings = load_settings(**overrides)
    logging.config.dictConfig(configuration(settings))
    with _told_of(settings) as end:
        end.code = _serve(settings, end, reload=reload)
    return end.code


@dataclass
class _End:
    """How the service ended: its exit code, and the signal that told it to end, if one did."""

    code: int = 1
    signal: signal.Signals | None = None


@contextlib.contextmanager
def _told_of(settings: Settings) -> Iterator[_End]:
    """Log that the service starts, and how it ended."""
    began = time.monotonic()
    _log.info("starting", version=__version__, workers=settings.workers)
    end = _End()
    reason = None
    try:
        yield end
    except KeyboardInterrupt:
        end.code, end.signal = _INTERRUPTED, _told
        raise
    except FAILURES as error:
        # A person at a terminal is told by the command's last words.
        reason = sentence(error) if format_of(settings) == "json" else None
        raise
    finally:
        ended = {
            "code": end.code,
            "signal": end.signal.name if end.signal else None,
            "seconds": round(time.monotonic() - began, 1),
            **({"reason": reason} if reason else {}),
        }
        (_log.info if end.signal else _log.error)("stopped", **ended)


def _serve(settings: Settings, end: _End, *, reload: bool) -> int:
    settings = settings.model_copy(update={"host": _numeric_host(settings)})
    invented = uses_development_secret(settings)
    if not invented:
        # Before anything is started for a service that could not verify a token.
        make_verifier(settings)
    if settings.database_url is not None:
        _prepare(settings)
        return _run(settings, end, reload=reload)
    directory = data_dir(settings)
    with running(directory, binaries=settings.postgres_bin) as server:
        update: dict[str, Any] = {"database_url": SecretStr(server.dsn), "migrate_url": None, "pooled": "off"}
        token = None
        if invented:
            make_development_secret(settings)
            settings = with_development_secret(settings)
            token = make_token(settings, "1" if settings.user_claim_type == "integer" else "alice", _DAY)
        settings = settings.model_copy(update=update)
        _prepare(settings)
        return _run(settings, end, reload=reload, token=token, directory=directory, server=server)


def _prepare(settings: Settings) -> None:
    """Migrate where that is needed and wanted, and make sure that workers will start."""
    requests, owner = addresses(settings)
    try:
        asyncio.run(_try_open(requests))
    except (SchemaBehindError, UnsafeRoleError):
        if settings.migrate == "off":
            raise
        for sentence in bring_up_to_date(requests, owner):
            _log.info("tables distributed", detail=sentence)
        _log.info("schema migrated", version=head())
        asyncio.run(_try_open(requests))


async def _try_open(address: Address) -> None:
    database = Database(address, pool_size=1)
    await database.open()
    await database.close()


def _run(
    settings: Settings,
    end: _End,
    *,
    reload: bool,
    token: str | None = None,
    directory: Path | None = None,
    server: EmbeddedServer | None = None,
) -> int:
    over = threading.Event()

    def watch() -> None:
        # Told before, and yet here: Python drops an exception that is raised in a destructor or a weak reference's
        # callback, as the one that ends each import has.
        if _told:
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=_announce, args=(settings, token, directory), daemon=True).start()
        if server is not None:
            threading.Thread(target=_stop_without, args=(server, over), daemon=True).start()

    try:
        end.signal = run_workers(settings, reload=reload, when_started=watch)
    finally:
        over.set()
    if server is not None and not server.alive:
        raise CommandError(f"The embedded server has ended; {directory}/postgresql.log says why. Start again.")
    return 0 if end.signal else 1


def _stop_without(server: EmbeddedServer, over: threading.Event) -> None:
    """Stop when the database is gone before the service is over: nothing brings it back but a new start."""
    while not over.wait(1):
        # Looked at last: what has ended while it was not over did not end because it is.
        if not server.alive and not over.is_set():
            _log.error("database died", database_pid=server.pid, **outcome(server.exit_code))
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _announce(settings: Settings, token: str | None, directory: Path | None) -> None:
    """Say where the service is, once it answers."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"http://{reachable}:{settings.port}"
    if not _answers(url):
        return
    _log.info("answering", address=f"http://{host}:{settings.port}")
    lines = [f"Taskward answers at http://{host}:{settings.port}", f"  docs:  {url}/docs"]
    if directory is not None:
        lines.append(f"  data:  {directory}")
    if token is not None:
        # Not `--json`, which curl has since 7.82 only.
        headers = f"-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
        lines += ["  try:", f'  curl {url}/api/v1/tasks {headers} -d \'{{"title": "Buy milk"}}\'']
    # Whoever started us may have gone; the service goes on.
    with contextlib.suppress(OSError):
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _answers(url: str) -> bool:
    # A proxy of the environment leads elsewhere.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _ANNOUNCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), opener.open(f"{url}/healthz", timeout=1):
            return True
        time.sleep(0.05)
    return False


def _numeric_host(settings: Settings) -> str:
    """The address to listen on as a number; that nobody else listens there is made sure of."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
        raise CommandError(
            f"Cannot listen on {settings.host} port {settings.port}: {reason}; choose another with --port or --host."
        ) from None
    return str(address[0])


def _interrupt(signum: int, _frame: object) -> NoReturn:
    global _told  # noqa: PLW0603 - a signal is told to the whole process
    # Once is enough: what is being stopped now should not be left half stopped.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    _told = signal.Signals(signum)
    raise KeyboardInterrupt
