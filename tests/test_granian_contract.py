"""What `cli/granian_server.py` needs of Granian beyond its documents. A test that fails here says what has moved."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import socket
import sys
import threading
from typing import Any

import pytest
from granian import _signals
from granian._granian import ListenerSpec, WorkerSignal
from granian.constants import Interfaces
from granian.server import Server, mp

from taskward.cli import granian_server
from taskward.cli.listening import prepared_socket


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    # The log is the tests'.
    monkeypatch.setattr("granian.server.common.configure_logging", lambda *_arguments: None)
    return Server("taskward", interface=Interfaces.ASGI)


def test_workers_are_processes():
    assert Server is mp.MPServer, "Granian's workers are no processes here"


def test_a_server_keeps_what_signals_and_ends_of_workers_set(server: Any):
    moved = "Granian's server no longer keeps {} as {}"
    for what, name, value in (
        ("its process", "pid", None),
        ("that it was told to stop", "interrupt_signal", False),
        ("that it was told to reload", "reload_signal", False),
        ("which workers have ended", "interrupt_children", []),
    ):
        assert getattr(server, name, server) == value, moved.format(what, name)
    assert isinstance(server.main_loop_interrupt, threading.Event), moved.format(
        "what wakes it", "main_loop_interrupt, an event"
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("signal_handler_interrupt", []),
        ("signal_handler_reload", []),
        ("_spawn_worker", ["idx", "target", "callback_loader"]),
        ("_spawn_workers", ["spawn_target", "target_loader"]),
        ("_respawn_workers", ["workers", "spawn_target", "target_loader", "delay"]),
        ("shutdown", ["exit_code"]),
    ],
)
def test_a_server_does_by_these_methods_what_is_done_otherwise_here(name: str, parameters: list[str]):
    method = getattr(Server, name, None)
    assert method is not None, f"Granian's server no longer has {name}, which is overridden"
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = [one.name for one in list(inspect.signature(method).parameters.values())[1:] if one.kind not in kinds]
    assert found == parameters, f"Granian's server calls {name} with other arguments"


def test_a_server_hears_signals_by_its_methods(server: Any, monkeypatch: pytest.MonkeyPatch):
    heard: list[Any] = []
    monkeypatch.setattr("granian.server.common.set_main_signals", lambda *handlers: heard.extend(handlers))
    monkeypatch.setattr(server, "_init_shared_socket", lambda: None)
    monkeypatch.setattr(server, "_spawn_workers", lambda *arguments: heard.append(arguments))
    server.startup("target", "loader")
    assert heard[:2] == [server.signal_handler_interrupt, server.signal_handler_reload], (
        "Granian no longer hears signals by signal_handler_interrupt and signal_handler_reload"
    )
    assert heard[2:] == [("target", "loader")], "Granian no longer starts its workers by _spawn_workers"
    assert server.pid == os.getpid(), "Granian no longer notes its own process when it starts"


def test_a_worker_is_asked_by_the_methods_that_are_replaced(server: Any, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    server._ssp = server._shd = server._sso = None
    worker = server._spawn_worker(idx=0, target=os.getpid, callback_loader=None)
    assert isinstance(worker.inner, multiprocessing.process.BaseProcess), "a worker keeps its process not as `inner`"
    assert worker.idx == 0, "a worker no longer knows its number as `idx`"
    assert worker.interrupt_by_parent is False, "a worker no longer notes that its parent stopped it"
    for name in ("is_alive", "terminate", "_watch"):
        assert callable(getattr(worker, name, None)), f"a worker no longer has the method {name}"
        monkeypatch.setattr(worker, name, lambda name=name: asked.append(name))
    monkeypatch.setattr(worker, "join", lambda _timeout=None: None)
    worker.inner = type("Started", (), {"start": lambda _self: None, "pid": 1})()
    worker.start()
    assert asked == ["_watch"], "Granian no longer learns by _watch how a worker ended"
    server.wrks, server.workers_kill_timeout = [worker], 1
    server._stop_workers()
    assert list(dict.fromkeys(asked)) == ["_watch", "terminate", "is_alive"], "Granian stops a worker by other methods"


def test_a_worker_takes_what_it_needs_from_where_it_is_replaced():
    for spawn in (mp.MPServer._spawn_asgi_worker, mp.MPServer._spawn_asgi_lifespan_worker):
        code = inspect.unwrap(spawn).__code__
        assert {"set_loop_signals", "ASGIWorker"} <= set(code.co_names), (
            "Granian's workers hear signals or listen by other names"
        )
        assert "granian._signals" in code.co_names, "Granian's workers import set_loop_signals from elsewhere, or early"
    assert callable(vars(mp).get("ASGIWorker")), "Granian's workers find ASGIWorker elsewhere"


def test_an_app_is_loaded_before_a_worker_listens():
    order = inspect.getsource(mp.WorkerProcess.wrap_target)
    assert order.index("callback_loader()") < order.index("return target("), "Granian loads the app after it listens"


def test_a_worker_is_made_with_its_number_and_its_sockets_first(monkeypatch: pytest.MonkeyPatch):
    made: list[tuple[Any, ...]] = []
    monkeypatch.setitem(vars(mp), "ASGIWorker", lambda *arguments: made.append(arguments))
    granian_server.listen_on(lambda specification: f"of {specification}")
    spawn = inspect.unwrap(mp.MPServer._spawn_asgi_worker)
    names = list(inspect.signature(spawn).parameters)
    assert names[:3] == ["worker_id", "callback", "sock"], "Granian starts a worker with other arguments"
    vars(mp)["ASGIWorker"](1, ("specification", None), "rest")
    vars(mp)["ASGIWorker"](1, (None, "holder"), "rest")
    assert made == [(1, (None, "of specification"), "rest"), (1, (None, "holder"), "rest")]


def test_a_socket_is_made_of_its_specification():
    holder = prepared_socket(ListenerSpec("127.0.0.1", 0, 128), 7)
    with socket.socket(fileno=os.dup(holder.get_fd())) as listener:
        assert listener.getsockname()[0] == "127.0.0.1", "a SocketHolder has another descriptor than its socket's"
        if sys.platform == "linux":
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


def test_a_workers_signal_is_an_event_of_granians(monkeypatch: pytest.MonkeyPatch):
    handlers: dict[int, Any] = {}

    class Loop:
        def set_exception_handler(self, handler: Any) -> None:
            handlers[0] = handler

        def add_signal_handler(self, signum: int, handler: Any) -> None:
            handlers[signum] = handler

    monkeypatch.setattr(_signals, "set_loop_signals", None)
    granian_server.hear_signals_once(print)
    loop: Any = Loop()
    event = _signals.set_loop_signals(loop)
    assert isinstance(event, WorkerSignal)
    assert {"set", "add_cb"} <= set(dir(event)), "Granian waits for a signal by other methods"
    assert handlers.keys() == {0, signal.SIGINT, signal.SIGTERM}
