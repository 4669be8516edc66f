"""Real `taskward serve` processes: started, asked, signalled, and looked for afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.serving import NO_TLS, make_token

BASE_ENVIRONMENT = {n: v for n, v in os.environ.items() if n in {"PATH", "HOME"} or n.startswith("COVERAGE_")}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def eventually(condition: Callable[[], Any], seconds: float = 60) -> bool:
    """Wait for a condition. The time only ends a test that would wait for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(process: psutil.Process) -> bool:
    """Tell whether it has not ended; where nobody collects orphans, as in some containers, an ended one stays."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Service:
    """A process that serves on a port of its own, started in a process group of its own, as a shell would.

    Args:
        data: The data directory, also where its output is kept.
        arguments: Further options.
        command: Another program than `taskward serve`, in full.
        settings: Environment variables.
        options: For `Popen`.
    """

    def __init__(
        self,
        data: Path,
        *arguments: str,
        command: Sequence[str] = (),
        port: int | None = None,
        settings: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        program = command or [sys.executable, "-m", "taskward", "serve"]
        environment = {**BASE_ENVIRONMENT, **(settings if settings is not None else {"TASKWARD_DATA_DIR": str(data)})}
        self._out, self._err = (data.with_name(f"{self.port}.{stream}") for stream in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*program, *arguments, "--port", str(self.port)],
                **{"cwd": data.parent, "env": environment, "stdout": out, "stderr": err, "process_group": 0, **options},
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What its log says, which is JSON where it goes into a file."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    @property
    def other_words(self) -> str:
        """What is on standard error beside the log."""
        return "".join(line for line in self.stderr.splitlines(keepends=True) if not line.startswith("{"))

    def named(self, event: str, **members: Any) -> list[dict[str, Any]]:
        """The events of this name that have these members."""
        return [one for one in self.events if {**one, **members} == one and one["event"] == event]

    def ready(self) -> Service:
        """Wait for the first answer."""
        assert eventually(lambda: self.answers() or self.process.poll() is not None)
        assert self.process.poll() is None, self.stderr
        return self

    def announced(self) -> Service:
        self.ready()
        assert eventually(lambda: "Taskward answers" in self.stdout), self.stdout + self.stderr
        return self

    def answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=5, verify=NO_TLS).status_code == 200
        except httpx2.TransportError:
            return False

    @property
    def curl(self) -> list[str]:
        """The request that the service proposes, as a shell would read it."""
        assert eventually(lambda: " -d " in self.stdout), self.stdout
        return shlex.split(self.stdout.split("try:")[1].strip())

    def client(self, user: str = "alice") -> httpx2.Client:
        secret = self.data.joinpath("development-secret").read_text().strip()
        token = make_token(user, secret=secret)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=20, verify=NO_TLS)

    @property
    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        found = []
        for child in children:
            # A program that only tells its version may have ended since.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "postgres" not in child.name():
                    found.append(child)
        return found

    def family(self) -> list[psutil.Process]:
        """Every process of the service, orphans too: found by what it was started with and where it is."""
        port = ["--port", str(self.port)]
        found = []
        for process in psutil.process_iter(["cmdline", "cwd", "status"]):
            line, folder = process.info["cmdline"] or [], process.info["cwd"] or ""
            if process.info["status"] != psutil.STATUS_ZOMBIE and (
                line[-2:] == port or folder.startswith(f"{self.data}/") or any(f"{self.data}/" in part for part in line)
            ):
                found.append(process)
        return found

    def send(self, signum: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, signum)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop it and make sure that nothing is left of it."""
        if self.process.poll() is None:
            self.send(signum)
        code = self.process.wait(60)
        assert self.gone(), self.family()
        return code

    def gone(self, seconds: float = 30) -> bool:
        """Tell whether nothing is left of it, now or soon."""
        return eventually(lambda: not self.family(), seconds)

    def end(self) -> None:
        """End it whatever state it is in."""
        self.process.kill()
        self.process.wait()
        self.gone()
        for left in self.family():
            left.kill()

    def refusal(self) -> str:
        """What it said when it did not start, and left nothing behind."""
        said = self._refusal()
        assert self.gone()
        return said

    def refusal_beside(self, other: Service) -> str:
        """What it said when it did not start because of another one, which goes on."""
        before = other.process.pid, set(other.workers)
        said = self._refusal()
        assert (other.process.pid, set(other.workers)) == before
        assert other.answers()
        return said

    def _refusal(self) -> str:
        assert self.process.wait(20) == 1
        assert self.stdout == ""
        match = re.fullmatch(r"taskward: (.+)\n", self.other_words)
        assert match, self.stderr
        told = [(one["code"], one["signal"], one["reason"]) for one in self.named("stopped")]
        # What is wrong with the settings is found before it is known how to write a log.
        assert told == ([(1, None, match[1])] if self.named("starting") else [])
        return match[1]
