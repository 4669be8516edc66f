"""`taskward serve`: the parent process, which owns the embedded server and migrates, and its workers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server
from pydantic import SecretStr

from taskward.cli.environment import addresses, data_dir, make_development_secret
from taskward.cli.failures import CommandError
from taskward.cli.token import make_token
from taskward.database.database import Database, SchemaBehindError, UnsafeRoleError
from taskward.database.dsn import Address
from taskward.database.embedded import running
from taskward.database.migrate import migrate
from taskward.identity import load_key
from taskward.settings import Settings, load_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_PR_SET_PDEATHSIG = 1
_DAY = 86_400
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"taskward": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
}


def serve(overrides: dict[str, Any], *, reload: bool) -> int:
    """Run until SIGINT or SIGTERM; then let running requests finish and stop whatever was started.

    Args:
        overrides: Settings from the command line.
        reload: Whether to restart workers when the package's code changes.
    """
    settings = load_settings(**overrides)
    _check_port(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    logging.config.dictConfig(_LOGGING)
    if settings.database_url is not None:
        load_key(settings.secret, settings.public_key)
        _prepare(settings)
        _run(settings, reload=reload, token=None)
        return 0
    directory = data_dir(settings)
    with running(directory, binaries=settings.postgres_bin) as server:
        invented = settings.secret is None and settings.public_key is None
        update: dict[str, Any] = {"database_url": SecretStr(server.dsn), "migrate_url": None, "pooled": "off"}
        token = None
        if invented:
            secret = make_development_secret(settings)
            update["jwt_secret"] = SecretStr(secret)
            token = make_token(settings, secret, "alice", _DAY)
        settings = settings.model_copy(update=update)
        _prepare(settings)
        _run(settings, reload=reload, token=token, directory=directory)
    return 0


def _prepare(settings: Settings) -> None:
    """Migrate where that is needed and wanted, and make sure that workers will start."""
    requests, owner = addresses(settings)
    try:
        asyncio.run(_try_open(requests))
    except (SchemaBehindError, UnsafeRoleError):
        if settings.migrate == "off":
            raise
        asyncio.run(migrate(owner, requests if requests != owner else None))
        asyncio.run(_try_open(requests))


async def _try_open(address: Address) -> None:
    database = Database(address, pool_size=1)
    await database.open()
    await database.close()


def _run(settings: Settings, *, reload: bool, token: str | None, directory: Path | None = None) -> None:
    if reload:
        # A forked worker would keep the modules that this process has loaded.
        multiprocessing.set_start_method("spawn", force=True)
    announcer = threading.Thread(target=_announce, args=(settings, token, directory), daemon=True)
    announcer.start()
    Server(
        "taskward",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        # Where either version may come, a connection that never says a word is never given up.
        http=HTTPModes.http1,
        workers=settings.workers,
        loop=Loops.auto,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.request_timeout) + 5,
        reload=reload,
        reload_paths=[Path(__file__).parents[1]] if reload else None,
    ).serve(target_loader=partial(_load_worker_app, settings, os.getpid()), wrap_loader=False)


def _load_worker_app(settings: Settings, parent: int) -> FastAPI:
    _die_with(parent)
    # Ctrl-C reaches a whole process group. Only the parent may hear it: it stops its workers, once and in order.
    os.setsid()
    from taskward.app import create_app  # noqa: PLC0415 - in the worker, so that a reload loads it anew

    return create_app(settings)


def _die_with(parent: int) -> None:
    """End this worker when its parent is gone: it would keep answering, and the embedded server has gone too."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if sys.platform != "linux":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _announce(settings: Settings, token: str | None, directory: Path | None) -> None:
    """Say where the service is, once it answers."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"http://{reachable}:{settings.port}"
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=1):  # noqa: S310 - our own
            break
        time.sleep(0.05)
    lines = [f"Taskward answers at http://{host}:{settings.port}", f"  docs:  {url}/docs"]
    if directory is not None:
        lines.append(f"  data:  {directory}")
    if token is not None:
        lines += [
            "  try:",
            f'  curl {url}/api/v1/tasks -H "Authorization: Bearer {token}" --json \'{{"title": "Buy milk"}}\'',
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(
                f"Cannot listen on {settings.host} port {settings.port}: {reason};"
                " choose another with --port or --host."
            ) from None


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
