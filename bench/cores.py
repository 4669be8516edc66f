"""All processors at once: as many processes of each contender as there are, for information."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bench import data, load
from bench.load import Round
from bench.stage import Participant, Stage

_OPERATIONS = ("get", "list")


def run(
    stage: Stage, dataset: data.Dataset, participants: Sequence[Participant], seconds: int, connections: int
) -> dict[str, dict[str, Round]]:
    """One round of each operation for everyone who can run several processes, by operation and label."""
    lottery = data.Lottery(dataset)
    found: dict[str, dict[str, Round]] = {}
    for operation in _OPERATIONS:
        requests = load.write_requests(
            lottery.draw(operation), dataset.tokens, stage.folder / f"{operation}-cores.requests"
        )
        found[operation] = {}
        for participant in participants:
            if not participant.contender.scales:
                continue
            with stage.again(participant, workers=os.cpu_count() or 1) as running:
                load.run(running, requests, 1, connections, stage.postgres)
                found[operation][participant.label] = load.run(running, requests, seconds, connections, stage.postgres)
    return found
