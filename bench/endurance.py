"""A million requests: does the memory of a worker stay where it is?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import psutil

from bench import data, load
from bench.processes import BenchError, Running
from bench.progress import say
from bench.stage import Participant, Stage

_ROUND_SECONDS = 15
_MEGABYTE = 2**20


@dataclass(frozen=True)
class Endurance:
    """The memory of one worker while it answered.

    Attributes:
        requests: How many it had answered at each sample.
        megabytes: Resident memory then.
    """

    requests: list[int]
    megabytes: list[float]

    @property
    def last(self) -> float:
        return self.megabytes[-1]

    @property
    def growth(self) -> float:
        """The mean of the last quarter over that of the quarter before it."""
        half = self.megabytes[len(self.megabytes) // 2 :]
        middle = len(half) // 2
        return mean(half[middle:]) / mean(half[:middle])


def run(stage: Stage, subject: Participant, dataset: data.Dataset, requests: int, connections: int) -> Endurance:
    """Send the mix until `requests` have been answered."""
    worker = _worker(subject.running)
    path = load.write_requests(data.Lottery(dataset).draw("mix"), dataset, subject.requests_file("endurance"))
    counts, megabytes = [0], [_memory(worker)]
    while counts[-1] < requests:
        seen = load.run(subject.running, path, _ROUND_SECONDS, connections, stage.postgres)
        counts.append(counts[-1] + seen.requests)
        megabytes.append(_memory(worker))
        say(f"{counts[-1]:,} requests: {megabytes[-1]:.1f} MB")
    subject.store.reset(subject.contender, dataset)
    return Endurance(counts, megabytes)


def _worker(running: Running) -> psutil.Process:
    # The worker is the child that has worked.
    children = running.process.children(recursive=True)
    if not children:
        raise BenchError(f"{running.label} has no worker.")
    return max(children, key=lambda process: process.cpu_times().user)


def _memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / _MEGABYTE
