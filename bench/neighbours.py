"""How long others wait beside a user who does what is dear: `python -m bench.neighbours`.

For each case, eight connections of one user send it to one worker, and another user's ordinary requests are timed; in
turn with the same beside eight connections of ordinary creates. The 95th percentile may be three times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import databases
from bench.contenders import TASKWARD, Fill
from bench.data import BASE, Dataset
from bench.neighbour_cases import BATCH, CONNECTIONS, Case, Ground, cases, ordinary
from bench.neighbour_load import Client, Done, Load, under_way, wire
from bench.processes import BenchError, free_port, prepare, serving
from bench.progress import say
from bench.stage import Options, Stage

MOST = 3.0
"""How many times as long the 95th percentile may be."""
_THINKING = 0.002
_AGAIN = 3
_POOL = 10


@dataclass
class Measured:
    """A case, and what others saw beside it."""

    case: Case
    beside: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    done: Done = field(default_factory=lambda: Done(0, {}))

    @property
    def ratio(self) -> float:
        """The median of the rounds, each against the usual one before it."""
        return statistics.median(one / usual for one, usual in zip(self.beside, self.usual, strict=True))


class Neighbour:
    """Another user, who reads and writes as people do."""

    def __init__(self, url: str, token: str, task_id: str) -> None:
        self._url = url
        patched, made = json.dumps({"title": "Changed"}).encode(), json.dumps({"title": "New"}).encode()
        self._requests = itertools.cycle(
            [
                wire("GET", BASE, token),
                wire("GET", f"{BASE}/{task_id}", token),
                wire("POST", BASE, token, made),
                wire("PATCH", f"{BASE}/{task_id}", token, patched),
            ]
        )

    async def percentile(self, seconds: float) -> float:
        """The 95th percentile in milliseconds.

        Raises:
            BenchError: An answer was not 2xx.
        """
        client = await Client.connect(self._url)
        waits: list[float] = []
        end = time.monotonic() + seconds
        try:
            while (begun := time.monotonic()) < end or len(waits) < 20:
                client.send(next(self._requests))
                status = await client.status()
                waits.append((time.monotonic() - begun) * 1000)
                if not 200 <= status < 300:
                    raise BenchError(f"The neighbour was answered {status}.")
                await asyncio.sleep(_THINKING)
        finally:
            client.close()
        return statistics.quantiles(waits, n=20)[-1]


def measure(url: str, neighbour: Neighbour, load: Load, seconds: float) -> tuple[float, Done]:
    with under_way(url, load) as done:
        percentile = asyncio.run(neighbour.percentile(seconds))
    return percentile, done[0] if done else Done(0, {})


def round_of(url: str, neighbour: Neighbour, ground: Ground, one: Measured, seconds: float) -> None:
    one.usual.append(measure(url, neighbour, ordinary(ground), seconds)[0])
    percentile, one.done = measure(url, neighbour, one.case.load(ground), seconds)
    one.beside.append(percentile)


def grown(url: str, dataset: Dataset, parts: int) -> Ground:
    """Make the subtrees, and say what there is."""
    token = dataset.tokens["tree"]

    async def make() -> list[str]:
        client = await Client.connect(url)
        roots = []
        for _ in range(CONNECTIONS):
            client.send(wire("POST", BASE, token, b'{"title":"A tree"}'))
            root = json.loads((await client.answer())[1])["id"]
            roots.append(root)
            task = {"op": "create", "task": {"title": "A part", "description": "x" * 200, "parent_id": root}}
            for start in range(0, parts, 100):
                body = json.dumps({"operations": [task] * min(100, parts - start)}).encode()
                client.send(wire("POST", BATCH, token, body))
                status, answer = await client.answer()
                if status != 200:
                    raise BenchError(f"The subtrees cannot be made: {answer[:300]!r}")
        client.close()
        return roots

    big = [str(task.id) for task in dataset.tasks if task.user_id == "big"]
    return Ground(dataset.tokens, big, asyncio.run(make()))


def table(measured: list[Measured]) -> str:
    """The result, the worst first."""
    lines = ["| case | answers/s | p95, ms | beside creates, ms | ratio |", "|---|--:|--:|--:|--:|"]
    for one in sorted(measured, key=lambda one: -one.ratio):
        statuses = " ".join(f"{status}" for status in sorted(one.done.statuses) if status) or "none yet"
        beside, usual = statistics.median(one.beside), statistics.median(one.usual)
        numbers = f"{one.done.per_second:.0f} | {beside:.1f} | {usual:.1f} | {one.ratio:.1f}"
        lines.append(f"| {one.case.name} ({statuses}) | {numbers} |")
    return "\n".join(lines)


def main() -> int:
    # As Ctrl-C: what was started is ended in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _options()
    chosen = [case for case in cases() if (case.brief or not options.brief) and options.only in case.name]
    sizes = {"big": options.tasks, "other": 200, "writer": 1, "tree": 1}
    # As many as the rounds of creates make.
    contender = replace(TASKWARD, env={**TASKWARD.env, "TASKWARD_MAX_TASKS": "1000000"})
    try:
        with ExitStack() as stack:
            say(f"a database with {options.tasks:,} tasks of one user")
            stage = Stage(Options(_POOL, options.database_url, options.postgres_bin), stack)
            dataset = stage.dataset_sized(sizes)
            store = stack.enter_context(databases.created(stage.postgresql.admin_dsn, contender))
            fill = Fill(store.login, stage.secret, _POOL, free_port())
            prepare(contender, fill, stage.folder)
            store.seed(contender, dataset)
            running = stack.enter_context(serving(contender, "neighbours", fill, stage.folder))
            ground = grown(running.url, dataset, options.parts)
            mine = next(task for task in dataset.tasks if task.user_id == "other")
            neighbour = Neighbour(running.url, dataset.tokens["other"], str(mine.id))
            measured = [Measured(case) for case in chosen]
            for number in range(options.rounds):
                for one in measured:
                    round_of(running.url, neighbour, ground, one, options.seconds)
                    say(f"round {number + 1}, {one.case.name}: {one.beside[-1] / one.usual[-1]:.1f}")
            # What a busy machine did by chance, it does not do in most of several rounds.
            for one in measured:
                if one.ratio > MOST:
                    for _ in range(_AGAIN):
                        round_of(running.url, neighbour, ground, one, options.seconds)
                    say(f"again, {one.case.name}: {one.ratio:.1f}")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(table(measured))
    over = [one.case.name for one in measured if one.ratio > MOST]
    if over:
        print(f"\nbench: others wait more than {MOST:.0f} times as long: {', '.join(over)}", file=sys.stderr)
    return 1 if over and options.check else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="rounds per case (5)")
    add("--seconds", type=float, default=3, help="seconds per round (3)")
    add("--tasks", type=int, default=86_000, help="tasks of the user who has many (86,000)")
    add("--parts", type=int, default=1000, help="tasks in each of eight subtrees (1,000)")
    add("--only", default="", help="cases with these words in their names")
    add("--brief", action="store_true", help="fewer cases")
    add("--check", action="store_true", help=f"exit 1 when a ratio is above {MOST:.0f}")
    add("--database-url", help="a superuser's address of a running PostgreSQL, instead of a temporary one")
    add("--postgres-bin", type=Path, help="the bin folder of PostgreSQL for the temporary one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
