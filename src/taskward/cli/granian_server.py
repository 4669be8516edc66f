"""What Taskward changes in Granian, or uses of it, beyond its documented interface.

`tests/test_granian_contract.py` says which of these parts an upgrade has moved.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from granian import _signals
from granian._granian import WorkerSignal
from granian.server import Server, mp

from taskward.runtime.log import get_logger, outcome

_log = get_logger("taskward.workers")

_STOP_AGAIN_SECONDS = 0.5
_OUTCOME_SECONDS = 2


class SignalProofServer(Server):  # type: ignore[misc, valid-type]
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
        worker._watch = partial(self._watch, worker)  # Granian has no other way to learn how one ended
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


def hear_signals_once(on_loop_error: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]) -> None:
    """Have this worker take the signals that end it, each but the first in vain.

    Granian's event has room for one signal. Setting it while it is full blocks the loop, for as long as a worker is
    starting or lets its last requests finish.

    Args:
        on_loop_error: The exception handler that the worker's loop gets.
    """

    def set_loop_signals(loop: asyncio.AbstractEventLoop) -> WorkerSignal:
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

    _signals.set_loop_signals = set_loop_signals


def listen_on(prepared: Callable[[Any], Any]) -> None:
    """Have this worker listen on a socket that Granian would make otherwise. On Linux each worker has a listener of its
    own, which Granian would make of its specification.

    Args:
        prepared: Makes a `SocketHolder` of a `SocketSpec`.
    """
    make = vars(mp)["ASGIWorker"]

    def worker(number: int, sockets: Any, *arguments: Any) -> Any:
        specification, holder = sockets
        return make(number, (None, holder or prepared(specification)), *arguments)

    vars(mp)["ASGIWorker"] = worker
