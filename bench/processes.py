"""Processes of the bench: started on a free port, awaited, measured, and ended by their process id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from bench.contenders import Contender, Fill

_READY_SECONDS = 30
_SETUP_SECONDS = 300  # packages may have to be fetched
_STOP_SECONDS = 10
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "NODE_EXTRA_CA_CERTS")


class BenchError(Exception):
    """The measurement cannot go on; the message says why."""


@dataclass(frozen=True)
class Running:
    """A contender that answers."""

    contender: Contender
    label: str
    """Its name in the table; unlike `contender.name`, unique within a run."""
    url: str
    process: psutil.Process


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(contender: Contender, fill: Fill, folder: Path) -> None:
    """Run the contender's setup commands in `folder`, where no `.env` of a checkout is found."""
    for template in contender.setup:
        argv = [fill.into(part) for part in template]
        try:
            done = subprocess.run(
                argv,
                env=_environment(contender, fill),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_SETUP_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise BenchError(f"{contender.name} is not installed: {argv[0]} does not exist; run `uv sync`.") from None
        except subprocess.TimeoutExpired:
            raise BenchError(f"{contender.name}: {argv[1:]} took more than {_SETUP_SECONDS} s.") from None
        if done.returncode:
            raise BenchError(f"{contender.name}: {argv[1:]} failed: {(done.stderr or done.stdout)[-2000:].strip()}")


@contextmanager
def serving(contender: Contender, label: str, fill: Fill, folder: Path) -> Iterator[Running]:
    """Run the contender until the block is left; `fill.port` is where it listens.

    Raises:
        BenchError: It does not answer on its ready path in time.
    """
    log_path = folder / f"{label}.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [fill.into(part) for part in contender.command],
            env=_environment(contender, fill),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the bench, which ends its children in order.
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{fill.port}"
            _wait(server, url + contender.ready, log_path)
            yield Running(contender, label, url, psutil.Process(server.pid))
        finally:
            stop(server)


def stop(server: subprocess.Popen[bytes], gently: Literal["SIGTERM", "SIGINT"] = "SIGTERM") -> None:
    """End a process that we started, and whatever children it leaves behind."""
    try:
        children = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    if server.poll() is None:
        server.send_signal(signal.Signals[gently])
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def cpu_seconds(root: psutil.Process) -> float:
    """User and system seconds that a process, its children and its ended children have used so far."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _environment(contender: Contender, fill: Fill) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return inherited | {name: fill.into(value) for name, value in contender.env.items()}


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    # Proxies of the caller's environment have no business on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError, urllib.error.URLError), opener.open(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:].strip()
    raise BenchError(f"No 200 from {url} within {_READY_SECONDS} s: {tail}")
