"""Load for some seconds, and what the processors spent on it: wrk against a server, pgbench against PostgreSQL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.data import Request
from bench.processes import BenchError, Running, cpu_seconds

_SCRIPT = Path(__file__).with_name("load.lua")
_GRACE_SECONDS = 30
_ERRORS = ("refused", "connect", "read", "write", "timeout")
_PGBENCH_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_PGBENCH_FAILED = re.compile(r"number of failed transactions: (\d+)")
_PGBENCH_RATE = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")


@dataclass(frozen=True)
class Round:
    """What one round saw."""

    requests: int
    """Answers received; all of them 2xx or 304."""
    per_second: float
    bytes: float | None = None
    """Of an answer, headers included, on the average."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    server_cpu_us: float | None = None
    """User and system microseconds of the server's processes per request."""
    database_cpu_us: float | None = None
    """The same of PostgreSQL; None when the server is somebody else's."""


def require(*programs: str) -> None:
    """Fail early when a load generator is missing."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise BenchError(f"{' and '.join(missing)} must be installed; bench/README.md says how.")


def write_requests(requests: Iterable[Request], tokens: Mapping[str, str], path: Path) -> Path:
    """Write requests for `run`, one a line."""
    path.write_text(
        "".join(f"{one.method}\t{one.path}\t{tokens[one.user_id]}\t{one.etag}\t{one.body}\n" for one in requests)
    )
    return path


def run(server: Running, requests: Path, seconds: int, connections: int, postgres: psutil.Process | None) -> Round:
    """Load a server with the requests of a file.

    Args:
        server: Where to.
        requests: A file as `write_requests` writes it.
        seconds: How long.
        connections: Kept-alive connections, each with one request under way at any time.
        postgres: The postmaster, when its processor time is to be measured.

    Raises:
        BenchError: An answer was neither 2xx nor 304, or did not arrive.
    """
    # One thread is enough: wrk spends a few microseconds per request, and the processors are the servers'.
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{_GRACE_SECONDS}s"]
    argv += ["-s", str(_SCRIPT), server.url, "--", str(requests)]
    before = cpu_seconds(server.process), _cpu(postgres)
    printed = output(argv, seconds, server.label)
    after = cpu_seconds(server.process), _cpu(postgres)
    lines = printed.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise BenchError(f"wrk failed against {server.label}: {printed[-500:].strip()}")
    seen = json.loads(lines[-1])
    if wrong := {name: seen[name] for name in _ERRORS if seen[name]}:
        raise BenchError(f"{server.label} did not answer everything with 2xx or 304, in {requests.stem}: {wrong}")
    count = int(seen["requests"])
    if not count:
        raise BenchError(f"{server.label} answered nothing, in {requests.stem}.")
    return Round(
        requests=count,
        per_second=count / (seen["microseconds"] / 1e6),
        bytes=seen["bytes"] / count,
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
        server_cpu_us=(after[0] - before[0]) / count * 1e6,
        database_cpu_us=(after[1] - before[1]) / count * 1e6 if postgres else None,
    )


def run_pgbench(
    pgbench: Path,
    dsn: str,
    script: str,
    *,
    defines: dict[str, int],
    seconds: int,
    clients: int,
    postgres: psutil.Process,
) -> Round:
    """Run a transaction over and over from `clients` connections, its statements prepared once on each.

    Raises:
        BenchError: A transaction failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".pgbench") as file:
        file.write(script)
        file.flush()
        argv = [str(pgbench), "-n", "-M", "prepared", f"-c{clients}", "-j1", f"-T{seconds}", "-f", file.name]
        argv += [f"-D{name}={value}" for name, value in defines.items()]
        before = _cpu(postgres)
        printed = output([*argv, dsn], seconds, "pgbench", {"PGOPTIONS": "-c jit=off"})
        after = _cpu(postgres)
    done, failed, rate = (pattern.search(printed) for pattern in (_PGBENCH_DONE, _PGBENCH_FAILED, _PGBENCH_RATE))
    if not (done and rate) or (failed and int(failed[1])) or not int(done[1]):
        raise BenchError(f"pgbench failed: {printed[-500:].strip()}")
    count = int(done[1])
    return Round(requests=count, per_second=float(rate[1]), database_cpu_us=(after - before) / count * 1e6)


def output(argv: Sequence[str], seconds: int, against: str, env: dict[str, str] | None = None) -> str:
    """Run a load generator.

    Raises:
        BenchError: It failed, or did not end soon after its time.
    """
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=False, env=env
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{argv[0]} did not end in time against {against}.") from None
    if done.returncode:
        raise BenchError(f"{argv[0]} failed against {against}: {(done.stderr or done.stdout)[-500:].strip()}")
    return done.stdout


def _cpu(process: psutil.Process | None) -> float:
    return cpu_seconds(process) if process else 0.0
