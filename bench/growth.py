"""What others' data, and one's own, cost: the same requests with more tasks, deeper pages and more users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import httpx2

from bench import data, load
from bench.contenders import TASKWARD
from bench.data import Request
from bench.processes import BenchError, Running
from bench.progress import say
from bench.stage import Participant, Stage

_SIZES = (100, 1_000, 10_000, 100_000)
_PAGES = (1, 10, 100, 1_000)
_PAGE = 50
_LARGEST_PAGE = 200
_FEWER = 100  # times
_SECONDS = 3
_CONNECTIONS = 8
_FEW_CONNECTIONS = 32


@dataclass(frozen=True)
class Growth:
    """Requests per second, medians over rounds by turns.

    Attributes:
        tasks: A user's first page, by how many tasks the user has.
        pages: A page of the user with the most tasks, by its number.
        users: By operation: with a hundredth of the users, and with all.
    """

    tasks: dict[str, float]
    pages: dict[str, float]
    users: dict[str, tuple[float, float]]

    def ratios(self) -> dict[str, float]:
        """How many times dearer each is than the smallest of its kind."""
        first = self.tasks[str(_SIZES[0])]
        largest = self.tasks[str(_SIZES[-1])]
        deepest = self.pages[str(_PAGES[-1])]
        found = {
            f"first page, {_SIZES[-1]:,} tasks against {_SIZES[0]}": first / largest,
            f"page {_PAGES[-1]:,} against the first of {_SIZES[0]} tasks": first / deepest,
        }
        return found | {f"{name}, {_FEWER} times the users": few / many for name, (few, many) in self.users.items()}


def run(stage: Stage, subject: Participant, dataset: data.Dataset, rounds: int) -> Growth:
    """Measure the subject on databases of other sizes, beside the one that it has."""
    tasks, pages = _own_tasks(stage, rounds)
    return Growth(tasks, pages, _others(stage, subject, dataset, rounds))


def _own_tasks(stage: Stage, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    sizes = {f"with-{size}": size for size in _SIZES}
    dataset = stage.dataset_sized(sizes)
    with stage.participant(TASKWARD, dataset, "taskward-sizes") as one:
        wanted = {f"tasks {size}": Request("GET", data.BASE, f"with-{size}") for size in _SIZES}
        largest = f"with-{_SIZES[-1]}"
        for page in _PAGES:
            path = _page_path(one.running, dataset.tokens[largest], page)
            wanted[f"page {page}"] = Request("GET", path, largest)
        rates = _by_turns(stage, one, dataset, {title: [request] for title, request in wanted.items()}, rounds)
    return (
        {str(size): rates[f"tasks {size}"] for size in _SIZES},
        {str(page): rates[f"page {page}"] for page in _PAGES},
    )


def _page_path(running: Running, token: str, page: int) -> str:
    """The path of a page of the default listing, found by following its links."""
    path, skipped = data.BASE, 0
    with httpx2.Client(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        while skipped < (page - 1) * _PAGE:
            step = min(_LARGEST_PAGE, (page - 1) * _PAGE - skipped)
            answer = client.get(path, params=httpx2.URL(path).params.merge({"limit": str(step)}))
            link = answer.links.get("next")
            if link is None:
                raise BenchError(f"There is no page {page}.")
            skipped += step
            cursor = httpx2.URL(link["url"]).params["cursor"]
            path = f"{data.BASE}?cursor={cursor}"
    return path


def _others(stage: Stage, subject: Participant, dataset: data.Dataset, rounds: int) -> dict[str, tuple[float, float]]:
    fewer = stage.dataset(max(2, len(dataset.users) // _FEWER), len(dataset.tasks) // len(dataset.users))
    found: dict[str, tuple[float, float]] = {}
    with stage.participant(TASKWARD, fewer, "taskward-few") as few:
        lotteries = (few, fewer, data.Lottery(fewer)), (subject, dataset, data.Lottery(dataset))
        for operation in ("get", "list", "create"):
            rates: list[list[float]] = [[], []]
            files = [one.write(lottery.draw(operation), operation) for one, _, lottery in lotteries]
            for number in range(rounds + 1):
                for side, (one, theirs, _) in enumerate(lotteries):
                    seconds = _SECONDS if number else 1
                    seen = load.run(one.running, files[side], seconds, _FEW_CONNECTIONS, stage.postgres)
                    if operation == "create":
                        one.reset(theirs)
                    if number:
                        rates[side].append(seen.per_second)
            found[operation] = median(rates[0]), median(rates[1])
            few_rate, many_rate = found[operation]
            say(f"{operation}: {few_rate:,.0f} with {len(fewer.users)} users, {many_rate:,.0f} with all")
    return found


def _by_turns(
    stage: Stage, one: Participant, dataset: data.Dataset, wanted: Mapping[str, list[Request]], rounds: int
) -> dict[str, float]:
    rates: dict[str, list[float]] = {title: [] for title in wanted}
    for number in range(rounds + 1):
        for title, requests in wanted.items():
            path = one.write(requests, title.replace(" ", "-"))
            seen = load.run(one.running, path, _SECONDS if number else 1, _CONNECTIONS, stage.postgres)
            if number:
                rates[title].append(seen.per_second)
    medians = {title: median(seen) for title, seen in rates.items()}
    say(", ".join(f"{title}: {rate:,.0f}" for title, rate in medians.items()))
    return medians
