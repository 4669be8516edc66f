"""Who answers how many requests: all operations, all contenders by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import data, load
from bench.endurance import Watch
from bench.load import Round
from bench.progress import say
from bench.stage import Floor, Participant, Stage

Rounds = dict[str, dict[str, list[Round]]]
"""By what was measured, then by contender's label; rounds in the order in which they were run."""

FLOOR = "floor"
_WARM_SECONDS = 1


@dataclass(frozen=True)
class Plan:
    """How long, how often and with how many connections.

    Attributes:
        operations: What is measured.
        crowd: Connections for those operations that are measured with many, or 0 for none.
    """

    operations: tuple[data.Operation, ...]
    rounds: int
    seconds: int
    connections: int
    crowd: int

    def measurements(self) -> list[tuple[str, data.Operation, int]]:
        """Title, operation and connections of each."""
        found = []
        for operation in self.operations:
            found.append((operation.name, operation, self.connections))
            if self.crowd and operation.crowded:
                found.append((f"{operation.name} {self.crowd}", operation, self.crowd))
        return found


class Turns:
    """Measures contenders by turns.

    Args:
        stage: Where they run.
        dataset: What each has in its database.
        participants: The contenders; the first one is compared with all others.
        floor: PostgreSQL alone, where that can be measured.
        watch: What is told of each round of the first contender.
    """

    def __init__(
        self,
        stage: Stage,
        dataset: data.Dataset,
        participants: Sequence[Participant],
        floor: Floor | None,
        watch: Watch | None,
    ) -> None:
        self._stage = stage
        self._dataset = dataset
        self._participants = participants
        self._floor = floor
        self._watch = watch
        self._dirty: set[str] = set()

    def run(self, plan: Plan) -> Rounds:
        """Measure everything of the plan; the rounds of one thing follow each other."""
        rounds: Rounds = {}
        lottery = data.Lottery(self._dataset)
        for title, operation, connections in plan.measurements():
            requests = lottery.draw(operation.name)
            labels = [participant.label for participant in self._participants]
            with_floor = self._floor is not None and operation.name != "mix" and connections == plan.connections
            rounds[title] = {label: [] for label in [*labels, *([FLOOR] if with_floor else [])]}
            for number in range(plan.rounds + 1):
                seconds = plan.seconds if number else min(_WARM_SECONDS, plan.seconds)
                seen = {
                    one.label: self._round(one, operation, requests, seconds=seconds, connections=connections)
                    for one in self._participants
                }
                if with_floor:
                    seen[FLOOR] = self._floor_round(operation, seconds)
                if number:
                    for label, one in seen.items():
                        rounds[title][label].append(one)
                    rates = " ".join(f"{label} {one.per_second:,.0f}" for label, one in seen.items())
                    say(f"{title} {number}/{plan.rounds}: {rates}")
        self._clean()
        return rounds

    def _round(
        self,
        participant: Participant,
        operation: data.Operation,
        requests: Sequence[data.Request],
        *,
        seconds: int,
        connections: int,
    ) -> Round:
        self._prepare(participant.label, participant, operation)
        if operation.name == "unchanged":
            requests = participant.conditional(requests)
        path = participant.write(requests, operation.name)
        seen = load.run(participant.running, path, seconds, connections, self._stage.postgres)
        if self._watch is not None and participant is self._participants[0]:
            self._watch.answered(seen.requests)
        return seen

    def _floor_round(self, operation: data.Operation, seconds: int) -> Round:
        assert self._floor is not None  # noqa: S101 - asked for
        self._prepare(FLOOR, self._floor, operation)
        return self._floor.measure(operation, seconds)

    def _prepare(self, label: str, one: Participant | Floor, operation: data.Operation) -> None:
        """Remove what an earlier round wrote, and remember whether this one writes."""
        if label in self._dirty:
            one.reset(self._dataset)
            self._dirty.discard(label)
        if operation.writes:
            self._dirty.add(label)

    def _clean(self) -> None:
        for participant in self._participants:
            if participant.label in self._dirty:
                participant.reset(self._dataset)
        self._dirty.clear()
