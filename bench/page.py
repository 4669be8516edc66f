"""`python -m bench.page RESULTS.json`: the tables of docs/performance.md, from the JSON that a run has written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.report import pythons

_OPERATIONS = ("get", "list", "filtered", "unchanged", "create", "patch", "complete", "mix")
_MEGABYTES = 120
_P95_MS = 200
_ALONE = 0.5
_BEFORE = dict.fromkeys(("get", "create", "patch", "complete", "unchanged"), 1.5) | {"list": 1.3, "mix": 1.3}
_LEAST: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("≥ 1.5 × before, 1.3 × for `list` and `mix`", "before", _BEFORE),
    ("≥ 6 × common", "common", dict.fromkeys(_OPERATIONS, 6.0)),
    ("≥ 3 × django_ninja", "django_ninja", dict.fromkeys(_OPERATIONS, 3.0)),
    ("≥ 3 × litestar", "litestar", dict.fromkeys(_OPERATIONS, 3.0)),
    ("≥ 1.0 × fastify_tx", "fastify_tx", dict.fromkeys(_OPERATIONS, 1.0)),
    ("≥ 1.7 × fastify_tx for `get`, `list` and `filtered`", "fastify_tx", {"get": 1.7, "list": 1.7, "filtered": 1.7}),
    (
        "≥ 0.6 × bare for `get`, 0.7 × for `list`, 0.5 × for `create` and `patch`, 0.45 × for `complete`",
        "bare",
        {"get": 0.6, "list": 0.7, "create": 0.5, "patch": 0.5, "complete": 0.45},
    ),
    (
        "≥ 1.2 × pocketbase for `get`, `create`, `patch` and `complete`, 3.5 × for `list`",
        "pocketbase",
        {"get": 1.2, "create": 1.2, "patch": 1.2, "complete": 1.2, "list": 3.5},
    ),
)
"""Of each target: what it says, beside whom, and the least ratio by what was measured."""

Results = dict[str, Any]


def tables(results: Results) -> dict[str, str]:
    """Markdown by title."""
    return {
        "requests per second": _by_contender(results, lambda seen: f"{seen['per_second']:,.0f}"),
        "microseconds of processor time": _by_contender(results, _processor),
        "times as many requests as": _ratios(results),
        "milliseconds": _by_contender(results, _latency),
        "targets": "\n".join(("| target | measured | held |", "|---|---|---|", *_targets(results))),
    }


def _by_contender(results: Results, cell: Callable[[dict[str, float]], str | None]) -> str:
    titles = results["medians"]
    labels = list(next(iter(titles.values())))
    lines = [f"| | {' | '.join(labels)} |", "|---" + "|--:" * len(labels) + "|"]
    for title, by_label in titles.items():
        cells = [cell(by_label[label]) if label in by_label else None for label in labels]
        lines.append(f"| {title} | {' | '.join(one or '' for one in cells)} |")
    return "\n".join(lines)


def _processor(seen: dict[str, float]) -> str:
    database = f"{seen['database_cpu_us']:,.0f}"
    return f"{seen['server_cpu_us']:,.0f} + {database}" if "server_cpu_us" in seen else database


def _latency(seen: dict[str, float]) -> str | None:
    return f"{seen['p50_ms']:,.0f}, {seen['p99_ms']:,.0f}" if "p50_ms" in seen else None


def _ratios(results: Results) -> str:
    peers = list(next(iter(results["ratios"].values())))
    lines = [f"| | {' | '.join(peers)} |", "|---" + "|--:" * len(peers) + "|"]
    for title, by_peer in results["ratios"].items():
        cells = [f"{_lower(results, title, peer):.2f}" if peer in by_peer else "" for peer in peers]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _lower(results: Results, title: str, peer: str) -> float:
    """The less flattering of the two ratios that the bench gives."""
    ratio = results["ratios"][title][peer]
    return float(min(ratio["of_medians"], ratio["pairwise"]))


def _targets(results: Results) -> Iterator[str]:
    """Those for which the run has what they need."""
    for target, peer, least in _LEAST:
        yield from _at_least(results, target, peer, least)
    yield from _processor_falls(results)
    mine = {title: by_label["taskward"] for title, by_label in results["medians"].items()}
    if {"unchanged", "get"} <= mine.keys():
        rate = mine["unchanged"]["per_second"] / mine["get"]["per_second"]
        yield _line("304 faster than `get`", f"{rate:.2f} ×", held=rate > 1)
    if {"unchanged", "list"} <= mine.keys():
        database = mine["unchanged"]["database_cpu_us"] / mine["list"]["database_cpu_us"]
        yield _line("PostgreSQL's time for a 304 < 1/3 of that for a `list`", f"{database:.2f}", held=database < 1 / 3)
    tails = {title: mine[title]["p99_ms"] / mine[title]["p50_ms"] for title in mine if title.endswith(" 256")}
    if tails:
        tail = max(tails, key=lambda title: tails[title])
        yield _line("p99 ≤ 3 × p50 at 256 connections", f"{tails[tail]:.1f} × (`{tail}`)", held=tails[tail] <= 3)
    if alone := results.get("alone"):
        target = f"creates of one user alone: ≥ {_ALONE:g} × those of many users"
        yield _line(target, f"{alone['ratio']:.2f} ×", held=alone["ratio"] >= _ALONE)
    if endurance := results["endurance"]:
        found = (
            f"{endurance['megabytes'][-1]:.0f} MB after {endurance['requests'][-1]:,} requests, "
            f"at most {max(endurance['megabytes']):.0f}, "
            f"the last quarter {endurance['growth']:.3f} × the one before"
        )
        held = endurance["megabytes"][-1] < _MEGABYTES and endurance["growth"] < 1.02
        yield _line(f"a worker's memory < {_MEGABYTES} MB after 1,000,000 requests, and flat", found, held=held)
    if crowd := results["crowd"]:
        found = (
            f"{crowd['errors'] or 'no error'}; p95 {crowd['p95_ms']:.0f} ms at {crowd['per_second']:,.0f} requests/s"
        )
        held = not crowd["errors"] and crowd["p95_ms"] < _P95_MS
        yield _line(f"1,000 connections at half of the peak: no error, p95 < {_P95_MS} ms", found, held=held)
    if growth := results["growth"]:
        for title, value in growth["ratios"].items():
            most = 1.3 if "users" in title else 1.5
            yield _line(f"{title}: < {most} × as dear", f"{value:.2f} ×", held=value < most)


def _at_least(results: Results, target: str, peer: str, least: dict[str, float]) -> Iterator[str]:
    found = {title: _lower(results, title, peer) for title in least if peer in results["ratios"].get(title, ())}
    if found:
        short = [title for title in found if found[title] < least[title]]
        yield _line(target, _range(found, short), held=not short)


def _processor_falls(results: Results) -> Iterator[str]:
    """Requests that cost less, and not only more of the machine that is used."""
    found = {title: cost for title in _BEFORE if (cost := _cost_of_before(results, title)) is not None}
    if found:
        dear = [title for title in found if found[title] > 1 / _BEFORE[title]]
        target = "processor time, PostgreSQL's included, in step: ≤ 1/1.5 of that of before, 1/1.3 for `list` and `mix`"
        yield _line(target, _range(found, dear), held=not dear)


def _cost_of_before(results: Results, title: str) -> float | None:
    """The less flattering of the ratio of medians and that of neighbouring rounds, of which one round has none."""
    by_label = results["medians"].get(title, {})
    if "before" not in by_label:
        return None
    mine, theirs = (
        by_label[label]["server_cpu_us"] + by_label[label]["database_cpu_us"] for label in ("taskward", "before")
    )
    pairwise = results["costs"][title]["before"]
    return float(max(mine / theirs, pairwise["pairwise"] if pairwise else 0))


def _range(found: dict[str, float], short: list[str]) -> str:
    values = f"{min(found.values()):.2f}–{max(found.values()):.2f}"
    missed = ", ".join(f"`{title}` {found[title]:.2f}" for title in short)
    return f"{values}; short: {missed}" if short else values


def _line(target: str, found: str, *, held: bool) -> str:
    return f"| {target} | {found} | {'yes' if held else '**no**'} |"


def _main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    if built := pythons(results["versions"]):
        print(f"Python {built}.\n")
    for heading, table in tables(results).items():
        print(f"{heading}:\n\n{table}\n")


if __name__ == "__main__":
    _main()
