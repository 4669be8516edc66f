"""Very many connections that ask at half of the rate that can be answered: does everybody get an answer soon?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench import data, load
from bench.processes import BenchError
from bench.stage import Participant

_CONNECTIONS = 1_000
_SECONDS = 15
_PERCENTILE = re.compile(r"^\s+(\d+)% in ([0-9.]+) secs", re.MULTILINE)
_STATUS = re.compile(r"^\s+\[(\d+)\]\s+(\d+) responses", re.MULTILINE)
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_SLOWEST = re.compile(r"Slowest:\s+([0-9.]+) secs")


@dataclass(frozen=True)
class Crowd:
    """What a thousand connections saw."""

    connections: int
    peak_per_second: float
    """What was answered when 32 connections asked for as much as they got."""
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slowest_ms: float
    answers: dict[str, int]
    """By status."""
    errors: str
    """What did not get an answer, as hey tells it."""


def run(subject: Participant, dataset: data.Dataset) -> Crowd:
    """Load the subject with gets of one task.

    Raises:
        BenchError: hey failed, or said nothing that could be read.
    """
    task = dataset.tasks[len(dataset.tasks) // 2]
    one = data.Request("GET", f"{data.BASE}/{task.id}", task.user_id)
    path = subject.write([one], "crowd")
    peak = load.run(subject.running, path, 5, 32, None).per_second
    # hey's rate is each connection's.
    argv = [
        *("hey", "-z", f"{_SECONDS}s", "-c", str(_CONNECTIONS), "-q", f"{peak / 2 / _CONNECTIONS:.3f}", "-t", "20"),
        *("-H", f"Authorization: Bearer {dataset.tokens[task.user_id]}", subject.running.url + one.path),
    ]
    printed = load.output(argv, _SECONDS, subject.label)
    percentiles = {int(share): float(seconds) * 1e3 for share, seconds in _PERCENTILE.findall(printed)}
    rate, slowest = _RATE.search(printed), _SLOWEST.search(printed)
    if not (rate and slowest) or not {50, 95, 99} <= percentiles.keys():
        raise BenchError(f"hey failed: {printed[-500:].strip()}")
    _, _, errors = printed.partition("Error distribution:")
    return Crowd(
        connections=_CONNECTIONS,
        peak_per_second=peak,
        per_second=float(rate[1]),
        p50_ms=percentiles[50],
        p95_ms=percentiles[95],
        p99_ms=percentiles[99],
        slowest_ms=float(slowest[1]) * 1e3,
        answers={status: int(count) for status, count in _STATUS.findall(printed)},
        errors=errors.strip(),
    )
