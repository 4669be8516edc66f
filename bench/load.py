"""One round of load: wrk against one server for some seconds, and what the processors spent on it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import BenchError, Running, cpu_seconds

_SCRIPT = Path(__file__).with_name("load.lua")
_GRACE_SECONDS = 30
_ERRORS = ("refused", "connect", "read", "write", "timeout")


@dataclass(frozen=True)
class Round:
    """What one round saw."""

    requests: int
    """Answers received; all of them 2xx."""
    per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    """User and system microseconds of the server's processes per request."""
    database_cpu_us: float | None
    """The same of PostgreSQL; None when the server is somebody else's."""


def require_wrk() -> None:
    """Fail early when the load generator is missing."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed; install it with `apt-get install wrk` or `brew install wrk`.")


def run(server: Running, requests: Path, seconds: int, connections: int, postgres: psutil.Process | None) -> Round:
    """Load a server with the requests of a file.

    Args:
        server: Where to.
        requests: A file as `data.write_requests` writes it.
        seconds: How long.
        connections: Kept-alive connections, each with one request under way at any time.
        postgres: The postmaster, when its processor time is to be measured.

    Raises:
        BenchError: An answer was not 2xx or did not arrive.
    """
    # One thread is enough: wrk spends a few microseconds per request, and the processors are the servers'.
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), server.url, "--", str(requests)]
    before = cpu_seconds(server.process), _cpu(postgres)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk did not end in time against {server.label}.") from None
    after = cpu_seconds(server.process), _cpu(postgres)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchError(f"wrk failed against {server.label}: {(done.stderr or done.stdout)[-500:].strip()}")
    seen = json.loads(lines[-1])
    if wrong := {name: seen[name] for name in _ERRORS if seen[name]}:
        raise BenchError(f"{server.label} did not answer everything with 2xx, in {requests.stem}: {wrong}")
    count = int(seen["requests"])
    if not count:
        raise BenchError(f"{server.label} answered nothing, in {requests.stem}.")
    return Round(
        requests=count,
        per_second=count / (seen["microseconds"] / 1e6),
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
        server_cpu_us=(after[0] - before[0]) / count * 1e6,
        database_cpu_us=(after[1] - before[1]) / count * 1e6 if postgres else None,
    )


def _cpu(process: psutil.Process | None) -> float:
    return cpu_seconds(process) if process else 0.0
