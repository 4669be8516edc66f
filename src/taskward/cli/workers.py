"""The worker processes of `taskward serve`: how they start, and that none outlives its parent."""

from __future__ import annotations

import _thread
import asyncio
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
from typing import TYPE_CHECKING, Any

from granian import _signals
from granian._granian import WorkerSignal
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server, mp

from taskward.cli.listening import prepared
from taskward.cli.logs import configuration, on_loop_error
from taskward.runtime.log import get_logger, outcome
from taskward.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = get_logger("taskward.workers")

_PR_SET_PDEATHSIG = 1
_STOP_AGAIN_SECONDS = 0.5
_OUTCOME_SECONDS = 2
# https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 128 * 1024
_KEPT = 1024 * 1024
_OBJECTS_BEFORE_COLLECTION = 20_000
_CONNECTION_BUFFER = 64 * 1024
"""Bytes that a connection keeps: the head of a request, and what waits of an answer. Granian's own is 408 KiB."""


class _Server(Server):  # type: ignore[misc, valid-type]
    """Granian's, with a start and an end that no signal can upset."""

    def __init__(self, *arguments: Any, when_started: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._when_started = when_started
        self.told: signal.Signals | None = None
        """By which signal it was told to stop."""
        self._watchers: list[threading.Thread] = []

    def signal_handler_interrupt(self, signum: int, _frame: object) -> None:
        # A worker inherits this handler until it has one of its own. Granian's would only take note in the worker's
        # copy of this object, and the worker would be killed when its time to stop is over.
        if os.getpid() != self.pid:
            if signum == signal.SIGTERM:
                os._exit(0)
            return  # of Ctrl-C, which reaches the parent as well
        self.told = signal.Signals(signum)
        self.interrupt_signal = True
        self._wake()

    def signal_handler_reload(self, *_arguments: object) -> None:
        self.reload_signal = True
        self._wake()

    def _wake(self) -> None:
        # From another thread: this one may be inside the event's own lock, in which Granian's handlers wait for ever.
        _thread.start_new_thread(self.main_loop_interrupt.set, ())

    def _spawn_worker(self, *arguments: Any, **options: Any) -> Any:
        worker = super()._spawn_worker(*arguments, **options)
        worker.is_alive = partial(_lives, worker.inner)
        worker.terminate = partial(_terminate, worker)
        worker._watch = partial(self._watch, worker)  # noqa: SLF001 - Granian has no other way to learn how one ended
        return worker

    def _watch(self, worker: Any) -> None:
        """In place of Granian's, which tells neither the signal nor the code that a worker ended with."""
        _log.info("worker started", worker=worker.idx + 1, worker_pid=worker.inner.pid)
        watcher = threading.Thread(target=self._await_end, args=(worker,))
        watcher.start()
        self._watchers.append(watcher)

    def _await_end(self, worker: Any) -> None:
        worker.inner.join()
        ended = {"worker": worker.idx + 1, "worker_pid": worker.inner.pid, **outcome(_exit_code(worker.inner))}
        if worker.interrupt_by_parent or self.interrupt_signal:
            _log.info("worker stopped", **ended)
        else:
            _log.error("worker died", **ended)
        if not worker.interrupt_by_parent:
            self.interrupt_children.append(worker.idx)
            self.main_loop_interrupt.set()

    def shutdown(self, exit_code: int = 0) -> None:
        _log.info("stopping", signal=self.told.name if self.told else None)
        try:
            super().shutdown(exit_code)
        finally:
            for watcher in self._watchers:
                watcher.join(_OUTCOME_SECONDS)

    def _spawn_workers(self, *arguments: Any) -> None:
        super()._spawn_workers(*arguments)
        self._when_started()

    def _respawn_workers(self, *arguments: Any, **options: Any) -> None:
        super()._respawn_workers(*arguments, **options)
        # Granian clears the event on its way here, with the signal that may have come just before.
        if self.interrupt_signal:
            self.main_loop_interrupt.set()


def _terminate(worker: Any) -> None:
    """Tell a worker to stop, and tell it again until it has: one that is starting loses a signal that comes between
    the moment it asks its loop to take signals and the moment that the loop runs.
    """
    worker.interrupt_by_parent = True

    def tell() -> None:
        while _lives(worker.inner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.inner.pid, signal.SIGTERM)
            time.sleep(_STOP_AGAIN_SECONDS)

    threading.Thread(target=tell, daemon=True).start()


def _exit_code(process: multiprocessing.Process) -> int | None:
    # Whoever else waits for the process may have been told, and not have taken note of it yet.
    deadline = time.monotonic() + _OUTCOME_SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.exitcode


def _lives(process: multiprocessing.Process) -> bool:
    # Granian waits for each worker in two threads, and only one of the two waits is told the outcome. The other takes
    # the worker for alive, and it would be reported as killed.
    try:
        os.kill(process.pid or 0, 0)
    except ProcessLookupError:
        return False
    return process.is_alive()


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
    server = _Server(
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
    _signals.set_loop_signals = _hear_once
    _give_memory_back()
    vars(mp)["ASGIWorker"] = partial(_worker, vars(mp)["ASGIWorker"], settings.send_timeout)
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


def _worker(make: Callable[..., Any], send_timeout: float, number: int, sockets: Any, *arguments: Any) -> Any:
    spec, holder = sockets
    # On Linux each worker has a listener of its own, which Granian would make of the spec.
    return make(number, (None, holder or prepared(spec, send_timeout)), *arguments)


def _collect_seldom() -> None:
    """Look for cycles after many requests in place of several times within one, and not among what lives for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])


def _hear_once(loop: asyncio.AbstractEventLoop) -> WorkerSignal:
    """Granian's, but for signals that come again: its event has room for one, and setting it while it is full blocks
    the loop, for as long as a worker is starting or lets its last requests finish.
    """
    loop.set_exception_handler(on_loop_error)
    event = WorkerSignal()
    told = False

    def hear() -> None:
        nonlocal told
        if not told:
            told = True
            event.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, hear)
    return event


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
