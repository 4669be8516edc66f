"""`python -m bench.page RESULTS.json`: the tables of docs/performance.md, from the JSON that a run has written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.report import pythons

_OPERATIONS = ("get", "list", "filtered", "unchanged", "create", "patch", "complete", "mix")
_LISTS = ("list", "filtered")
_MEGABYTES = 120
_P95_MS = 200

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
    labels = list(titles["get"])
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
    peers = list(results["ratios"]["get"])
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
    for peer, least in (("common", 6.0), ("django_ninja", 3.0), ("litestar", 3.0)):
        yield _at_least(results, f"≥ {least:g} × {peer}", peer, dict.fromkeys(_OPERATIONS, least))
    tx = {title: 1.5 if title in _LISTS else 1.0 for title in _OPERATIONS}
    yield _at_least(results, "≥ 1.0 × fastify_tx, 1.5 × for lists", "fastify_tx", tx)
    bare = {"get": 0.5, "create": 0.5, "list": 0.7}
    yield _at_least(results, "≥ 0.5 × bare for `get` and `create`, 0.7 × for `list`", "bare", bare)
    mine = {title: by_label["taskward"] for title, by_label in results["medians"].items()}
    rate = mine["unchanged"]["per_second"] / mine["get"]["per_second"]
    yield _line("304 at least as fast as `get`", f"{rate:.2f} ×", held=rate >= 1)
    database = mine["unchanged"]["database_cpu_us"] / mine["list"]["database_cpu_us"]
    yield _line("PostgreSQL's time for a 304 < 1/3 of that for a `list`", f"{database:.2f}", held=database < 1 / 3)
    tails = {title: mine[title]["p99_ms"] / mine[title]["p50_ms"] for title in mine if title.endswith(" 256")}
    tail = max(tails, key=lambda title: tails[title])
    yield _line("p99 < 10 × p50 at 256 connections", f"{tails[tail]:.1f} × (`{tail}`)", held=tails[tail] < 10)
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


def _at_least(results: Results, target: str, peer: str, least: dict[str, float]) -> str:
    found = {title: _lower(results, title, peer) for title in least}
    short = [f"`{title}` {found[title]:.2f}" for title in least if found[title] < least[title]]
    values = f"{min(found.values()):.2f}–{max(found.values()):.2f}"
    return _line(target, f"{values}; short: {', '.join(short)}" if short else values, held=not short)


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
