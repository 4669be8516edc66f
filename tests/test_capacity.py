"""The capacity model: its arithmetic, where its numbers come from, and that the page has what it prints."""

from __future__ import annotations

import json
from dataclasses import Field, fields, replace
from pathlib import Path

import pytest
from bench.capacity import MIX, Assumptions, Kind, main, need, table
from bench.data import _MIX as OF_THE_BENCH

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
COUNTS = [1, 1_000_000, 10_000_000, 100_000_000]
# A second has ten requests at the peak, each of 100 ms, in halves of cores.
ROUND = Assumptions(
    tasks_per_user=1000,
    active_share=0.5,
    requests_per_day=86.4,
    peak_factor=2,
    busy=0.5,
    bytes_per_task=1000,
    bytes_per_user=0,
    disk_factor=2,
    cached_share=0.5,
    coordination=0.5,
    shard_work=1,
    node_cores=4,
)
EVEN = {"one": Kind(1, 100_000, 200_000)}


def test_what_is_needed_is_what_can_be_reckoned_by_hand():
    found = need(10_000, ROUND, EVEN)
    assert found.peak == pytest.approx(10)
    assert (found.api_cores, found.postgres_cores, found.cluster_cores, found.coordinating_cores) == (2, 4, 6, 2)
    assert (found.rows, found.disk, found.working_set) == pytest.approx((10e9, 20e9, 2.5e9))
    assert (found.nodes, found.shards, found.fits) == (2, 32, True)


@pytest.mark.parametrize("scarce", ["node_cores", "node_gib", "node_disk_gib"])
def test_whatever_is_scarce_takes_nodes(scarce: str):
    roomy = replace(ROUND, node_cores=1e6, node_gib=1e6, node_disk_gib=1e6)
    assert need(10_000, roomy, EVEN).nodes == 1
    found = need(10_000, replace(roomy, **{scarce: 0.1}), EVEN)
    assert found.nodes > 10
    assert not found.fits


def test_there_are_shards_for_nodes_that_are_yet_to_come():
    assert need(1_000_000, ROUND, EVEN).nodes == 150
    assert need(1_000_000, ROUND, EVEN).shards == 2048


def test_costs_are_those_of_the_run_that_the_bench_has_published():
    results = json.loads((ROOT / "bench/results/reference.json").read_text(encoding="utf-8"))
    for name, kind in MIX.items():
        cost = results["medians"][name]["taskward"]
        assert (kind.api, kind.postgres) == (round(cost["server_cpu_us"]), round(cost["database_cpu_us"])), name
    assert {name: round(kind.share * 100) for name, kind in MIX.items()} == OF_THE_BENCH


def test_the_page_has_what_the_model_says():
    assert f"\n\n{table(COUNTS, Assumptions())}\n\n" in PAGE


@pytest.mark.parametrize("one", fields(Assumptions), ids=lambda one: one.name)
def test_the_page_names_each_assumption_with_its_default(one: Field[float]):
    rows = [
        line for line in PAGE.splitlines() if line.startswith(f"| `--{one.name.replace('_', '-')}` | {one.default:g} |")
    ]
    assert len(rows) == 1


def test_each_assumption_is_an_option(capsys: pytest.CaptureFixture[str]):
    assert main(["--users", "1000000", "--tasks-per-user", "1"]) == 0
    assert "| rows and indexes | 939 MB |" in capsys.readouterr().out
