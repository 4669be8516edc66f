"""What a request costs on a Citus cluster, process by process, beside the same on one machine.

    uv run --group bench python -m bench.citus --superuser URL --requests URL

All nodes run on this machine. The cluster's database has been migrated with `taskward migrate --citus`, and is empty.
Processor time adds up over nodes; the rate does not, since all of them share these cores, and is not reported.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from bench import data, load
from bench.contenders import TASKWARD, Fill
from bench.databases import Database
from bench.processes import cpu_seconds, free_port, serving
from bench.progress import say
from bench.stage import Options, Participant, Stage

_OPERATIONS = ("get", "list", "create", "patch", "complete")
_WARM_SECONDS = 1

Costs = dict[str, float]
"""Microseconds of processor time per request, by process."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(argv)
    load.require("wrk")
    operations = [data.OPERATIONS[name] for name in arguments.operations.split(",")]
    with ExitStack() as stack:
        stage = Stage(Options(arguments.pool, None, arguments.postgres_bin), stack)
        dataset = stage.dataset(arguments.users, arguments.tasks)
        single = stack.enter_context(stage.participant(TASKWARD, dataset, "one machine"))
        cluster = _on_cluster(stage, stack, dataset, arguments)
        nodes = asyncio.run(_postmasters(arguments.superuser))
        assert stage.postgres is not None, "the server is the stage's own"  # noqa: S101
        processes = {
            single.label: {"API": single.running.process, "PostgreSQL": stage.postgres},
            cluster.label: {"API": cluster.running.process, **nodes},
        }
        for operation in operations:
            rounds = _measure(operation, dataset, (single, cluster), processes, arguments)
            _report(operation.name, *rounds)
    return 0


def _on_cluster(stage: Stage, stack: ExitStack, dataset: data.Dataset, arguments: argparse.Namespace) -> Participant:
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=stage.folder))
    login = urlsplit(arguments.requests)
    store = Database(login.path[1:], arguments.superuser, login.netloc + login.path)
    store.seed(TASKWARD, dataset)
    stack.callback(store.empty, TASKWARD)
    fill = Fill(store.login, stage.secret, arguments.pool, free_port())
    running = stack.enter_context(serving(TASKWARD, "cluster", fill, folder))
    return Participant(TASKWARD, "cluster", store, running, TASKWARD.dialect.tokens(dataset, stage.secret), folder)


async def _postmasters(superuser: str) -> dict[str, psutil.Process]:
    """The processes of PostgreSQL of each node, by its name."""
    coordinator = await asyncpg.connect(superuser)
    rows = await coordinator.fetch("SELECT groupid, nodename, nodeport FROM pg_dist_node ORDER BY groupid")
    await coordinator.close()
    found = {}
    for group, host, port in rows:
        parts = urlsplit(superuser)
        url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{host}:{port}"))
        node = await asyncpg.connect(url)
        folder = Path(await node.fetchval("SHOW data_directory"))
        await node.close()
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
        found[f"worker {group}" if group else "coordinator"] = psutil.Process(pid)
    return found


def _measure(
    operation: data.Operation,
    dataset: data.Dataset,
    participants: Sequence[Participant],
    processes: dict[str, dict[str, psutil.Process]],
    arguments: argparse.Namespace,
) -> list[list[Costs]]:
    """Rounds in turns, a list for each participant."""
    requests = data.Lottery(dataset).draw(operation.name)
    rounds: list[list[Costs]] = [[] for _ in participants]
    for number in range(arguments.rounds + 1):
        for one, seen in zip(participants, rounds, strict=True):
            if operation.writes:
                one.reset(dataset)
            path = one.write(requests, operation.name)
            watched = processes[one.label]
            before = {name: cpu_seconds(process) for name, process in watched.items()}
            seconds = arguments.seconds if number else _WARM_SECONDS
            count = load.run(one.running, path, seconds, arguments.connections, None).requests
            spent = {name: (cpu_seconds(process) - before[name]) / count * 1e6 for name, process in watched.items()}
            if number:
                seen.append(spent)
        say(f"{operation.name} {number}/{arguments.rounds}")
    return rounds


def _report(name: str, single: list[Costs], cluster: list[Costs]) -> None:
    for label, rounds in (("one machine", single), ("cluster", cluster)):
        parts = ", ".join(f"{process} {median(one[process] for one in rounds):.0f}" for process in rounds[0])
        total = median(sum(one.values()) for one in rounds)
        sys.stdout.write(f"{name} on {label}: {total:.0f} µs of processor time per request: {parts}\n")
    pairs = [sum(two.values()) / sum(one.values()) for one, two in zip(single, cluster, strict=True)]
    low, _, high = quantiles(pairs, n=4)
    sys.stdout.write(f"{name}: {median(pairs):.2f} × one machine, half of the pairs within {low:.2f}–{high:.2f}\n")
    workers = [name for name in cluster[0] if name.startswith("worker")]
    all_workers = sum(median(one[name] for one in cluster) for name in workers)
    shares = ", ".join(f"{name} {median(one[name] for one in cluster) / all_workers:.0%}" for name in workers)
    sys.stdout.write(f"{name}: of what workers do: {shares}\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.citus", description=__doc__)
    parser.add_argument("--superuser", required=True, help="a superuser's URL of the database, on the coordinator")
    parser.add_argument("--requests", required=True, help="the URL that requests use, as DATABASE_URL")
    parser.add_argument("--operations", default=",".join(_OPERATIONS), help="what is measured")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=1, help="per round")
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=100, help="of each user")
    parser.add_argument("--connections", type=int, default=32, help="of clients")
    parser.add_argument("--pool", type=int, default=10, help="connections to the database")
    parser.add_argument("--postgres-bin", type=Path, help="the bin folder for the one machine's PostgreSQL")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
