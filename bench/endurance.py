"""A million requests: does the memory of a worker stay where it is?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import psutil

from bench import data, load
from bench.processes import BenchError
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
    def growth(self) -> float | None:
        """The mean memory of the last quarter of the requests over that of the quarter before it; None without one."""
        total = self.requests[-1]
        samples = list(zip(self.requests, self.megabytes, strict=True))
        third = [size for count, size in samples if total / 2 <= count < total * 3 / 4]
        fourth = [size for count, size in samples if count >= total * 3 / 4]
        return mean(fourth) / mean(third) if third else None


class Watch:
    """Follows the memory of a participant's worker from the first request on."""

    def __init__(self, participant: Participant) -> None:
        children = participant.running.process.children(recursive=True)
        if not children:
            raise BenchError(f"{participant.label} has no worker.")
        # The worker is the child that has worked, on the few requests of the agreement.
        self._worker: psutil.Process = max(children, key=lambda process: process.cpu_times().user)
        self._participant = participant
        self._requests = [0]
        self._megabytes = [self._memory()]

    def answered(self, requests: int) -> None:
        """Take a sample after further requests."""
        self._requests.append(self._requests[-1] + requests)
        self._megabytes.append(self._memory())

    def until(self, requests: int, stage: Stage, dataset: data.Dataset, connections: int) -> Endurance:
        """Send the mix until `requests` have been answered in all."""
        drawn = data.Lottery(dataset).draw("mix")
        path = self._participant.write(drawn, "endurance")
        while self._requests[-1] < requests:
            seen = load.run(self._participant.running, path, _ROUND_SECONDS, connections, stage.postgres)
            self.answered(seen.requests)
            say(f"{self._requests[-1]:,} requests: {self._megabytes[-1]:.1f} MB")
        self._participant.reset(dataset)
        return Endurance(self._requests, self._megabytes)

    def _memory(self) -> float:
        return float(self._worker.memory_info().rss) / _MEGABYTE
