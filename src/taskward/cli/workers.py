"""The worker processes of `taskward serve`: how they start, and that none outlives its parent."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from taskward.cli.granian_server import SignalProofServer, hear_signals_once, listen_on
from taskward.cli.listening import prepared_socket
from taskward.cli.logs import configuration, on_loop_error
from taskward.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_PR_SET_PDEATHSIG = 1
# https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 128 * 1024
_KEPT = 1024 * 1024
_OBJECTS_BEFORE_COLLECTION = 20_000
_CONNECTION_BUFFER = 64 * 1024
"""Bytes that a connection keeps: the head of a request, and what waits of an answer. Granian's own is 408 KiB."""


def run_workers(settings: Settings, *, reload: bool, when_started: Callable[[], None]) -> signal.Signals | None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: The configuration; its host is a numeric address.
        reload: Whether to restart workers when the package's code changes.
        when_started: Called when the workers have been forked; a thread that it starts cannot disturb that.

    Returns:
        The signal that told it to end, or None where workers failed.
    """
    if reload:
        # A forked worker would keep the modules that this process has loaded.
        multiprocessing.set_start_method("spawn", force=True)
    server = SignalProofServer(
        "taskward",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        # Where either version may come, a connection that never says a word is never given up.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=_CONNECTION_BUFFER),
        workers=settings.workers,
        loop=Loops.auto,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=configuration(settings),
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.request_timeout) + 5,
        reload=reload,
        reload_paths=[Path(__file__).parents[1]] if reload else None,
        when_started=when_started,
    )
    # It exits where workers failed, and where one happened to end before it was told to, as by a signal to the group.
    with contextlib.suppress(SystemExit):
        server.serve(target_loader=partial(_load_app, settings, os.getpid()), wrap_loader=False)
    return server.told


def _load_app(settings: Settings, parent: int) -> FastAPI:
    _die_with(parent)
    # Ctrl-C reaches a whole process group. Only the parent may hear it: it stops its workers, once and in order.
    os.setsid()
    hear_signals_once(on_loop_error)
    _give_memory_back()
    listen_on(partial(prepared_socket, timeout=settings.send_timeout))
    from taskward.app import create_app  # noqa: PLC0415 - in the worker, so that a reload loads it anew

    app = create_app(settings)
    _collect_seldom()
    return app


def _give_memory_back() -> None:
    """Have the C library hand large blocks back when they are freed. Once one was freed, it would keep all up to that
    size for later (mallopt(3)), and so the memory of the largest answer.
    """
    with contextlib.suppress(OSError, AttributeError):  # which other systems' do not have
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def _collect_seldom() -> None:
    """Look for cycles after many requests in place of several times within one, and not among what lives for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])


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
