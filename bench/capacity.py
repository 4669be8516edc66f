"""How many cores, how much memory and disk so many users take, on one machine and on a cluster.

    uv run python -m bench.capacity --users 1000000,100000000 --tasks-per-user 500

A model, not a measurement: requests at the peak, times what the bench has measured that a request costs. Every
assumption is an option.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import ceil

SECONDS_PER_DAY = 86_400
GIB = 2**30
_LEAST_SHARDS = 32
_SHARDS_PER_NODE = 8  # so that nodes can be added, and load be evened out, without splitting any


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        share: How many of all requests are of this kind.
        api: Microseconds of processor time of the worker that answers it.
        postgres: The same of PostgreSQL, on one machine.
    """

    share: float
    api: float
    postgres: float


MIX: Mapping[str, Kind] = {
    "list": Kind(0.70, 174, 316),
    "get": Kind(0.15, 87, 44),
    "patch": Kind(0.10, 187, 176),
    "create": Kind(0.05, 181, 173),
}
"""The mix of the bench, and what each kind cost in its run of reference, with 32 connections."""


def _assumed(default: float, meaning: str) -> float:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of users, of the data and of the machines; each is an option."""

    tasks_per_user: float = _assumed(200, "tasks of a user, those done and those in the trash included")
    active_share: float = _assumed(0.2, "share of the users who come on a day")
    requests_per_day: float = _assumed(100, "requests a day of a user who comes")
    peak_factor: float = _assumed(4, "requests in the busiest second, of those in the average one")
    busy: float = _assumed(0.5, "share of a core that may be busy at the peak")
    bytes_per_task: float = _assumed(587, "bytes of a task with its indexes")
    bytes_per_user: float = _assumed(352, "bytes of an account with its index")
    disk_factor: float = _assumed(3, "disk, of what rows take: the log, dead rows, a shard that moves")
    cached_share: float = _assumed(1, "share of the rows of a day's users that memory shall hold")
    api_core_bytes: float = _assumed(118e6, "bytes of memory of an API worker, of which each core has one")
    coordination: float = _assumed(2.1, "PostgreSQL's time on the node that is asked, of that on one machine")
    shard_work: float = _assumed(3.2, "PostgreSQL's time on the node that has the rows, of that on one machine")
    node_cores: float = _assumed(16, "cores of a node with PostgreSQL")
    node_gib: float = _assumed(64, "GiB of memory of a node")
    node_disk_gib: float = _assumed(2048, "GiB of disk of a node")


@dataclass(frozen=True)
class Need:
    """What so many users take.

    Attributes:
        peak: Requests per second.
        api_cores: Cores of API workers.
        postgres_cores: Cores of PostgreSQL on one machine.
        cluster_cores: Cores of PostgreSQL of all nodes of a cluster.
        coordinating_cores: How many of these ask others, which one coordinator would have to have.
        rows: Bytes of rows and indexes.
        disk: Bytes of disk, of one copy.
        working_set: Bytes of memory for what is read often.
        api_memory: Bytes of memory of all API workers.
        nodes: Nodes of a cluster.
        shards: Into how many shards to distribute each table.
        fits: Whether one node is enough, without a cluster.
    """

    peak: float
    api_cores: int
    postgres_cores: int
    cluster_cores: int
    coordinating_cores: int
    rows: float
    disk: float
    working_set: float
    api_memory: float
    nodes: int
    shards: int
    fits: bool


def need(users: int, assumed: Assumptions, mix: Mapping[str, Kind] = MIX) -> Need:
    """What so many users take at the peak."""
    peak = users * assumed.active_share * assumed.requests_per_day / SECONDS_PER_DAY * assumed.peak_factor
    microseconds = peak / assumed.busy / 1e6
    api = sum(kind.share * kind.api for kind in mix.values()) * microseconds
    postgres = sum(kind.share * kind.postgres for kind in mix.values()) * microseconds
    coordinating = postgres * assumed.coordination
    cluster = postgres * assumed.shard_work + coordinating
    rows = users * (assumed.tasks_per_user * assumed.bytes_per_task + assumed.bytes_per_user)
    disk = rows * assumed.disk_factor
    working_set = rows * assumed.active_share * assumed.cached_share
    of_one = (assumed.node_cores, assumed.node_gib * GIB, assumed.node_disk_gib * GIB)
    nodes = max(ceil(wanted / has) for wanted, has in zip((cluster, working_set, disk), of_one, strict=True))
    shards = _LEAST_SHARDS
    while shards < nodes * _SHARDS_PER_NODE:
        shards *= 2
    return Need(
        peak=peak,
        api_cores=ceil(api),
        postgres_cores=ceil(postgres),
        cluster_cores=ceil(cluster),
        coordinating_cores=ceil(coordinating),
        rows=rows,
        disk=disk,
        working_set=working_set,
        api_memory=ceil(api) * assumed.api_core_bytes,
        nodes=nodes,
        shards=shards,
        fits=all(wanted <= has for wanted, has in zip((postgres, working_set, disk), of_one, strict=True)),
    )


def table(counts: Sequence[int], assumed: Assumptions) -> str:
    """What each of these numbers of users takes, as a table in Markdown."""
    needs = [need(count, assumed) for count in counts]
    lines = [
        ("users", [f"{count:,}" for count in counts]),
        ("", ["--:" for _ in counts]),
        ("requests/s at the peak", [_number(one.peak) for one in needs]),
        ("cores of the API", [f"{one.api_cores:,}" for one in needs]),
        ("its memory", [_bytes(one.api_memory) for one in needs]),
        ("cores of PostgreSQL on one machine", [f"{one.postgres_cores:,}" for one in needs]),
        ("rows and indexes", [_bytes(one.rows) for one in needs]),
        ("disk, one copy", [_bytes(one.disk) for one in needs]),
        ("memory for the working set", [_bytes(one.working_set) for one in needs]),
        ("one machine is enough", ["yes" if one.fits else "no" for one in needs]),
        ("cores of PostgreSQL on a cluster", [f"{one.cluster_cores:,}" for one in needs]),
        ("of these, asking others", [f"{one.coordinating_cores:,}" for one in needs]),
        ("nodes", [f"{one.nodes:,}" for one in needs]),
        ("`--shards`", [str(one.shards) for one in needs]),
    ]
    return "\n".join(f"| {name or '---'} | {' | '.join(cells)} |" for name, cells in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:.2g}"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--users", default="1,1000000,10000000,100000000", help="how many, separated by commas")
    for one in fields(Assumptions):
        meaning = f"{one.metadata['meaning']} ({one.default:g})"
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default, help=meaning)
    arguments = parser.parse_args(argv)
    assumed = Assumptions(**{one.name: getattr(arguments, one.name) for one in fields(Assumptions)})
    for one in fields(Assumptions):
        sys.stdout.write(f"{getattr(assumed, one.name):g}: {one.metadata['meaning']}\n")
    sys.stdout.write(f"\n{table([int(count) for count in arguments.users.split(',')], assumed)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
