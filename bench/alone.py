"""One user alone who creates on many connections: how much do her own creates wait for each other?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

from bench import data, load
from bench.progress import say
from bench.stage import Participant, Stage


@dataclass(frozen=True)
class Alone:
    """Creates per second, by rounds.

    Attributes:
        connections: How many there were, in both.
        one: All of them one user's.
        many: Each request another user's, in the round before.
    """

    connections: int
    one: list[float]
    many: list[float]

    def ratio(self) -> float:
        """How many times as much as many users one user gets: the lower one of medians and of neighbouring rounds."""
        pairwise = median(one / many for one, many in zip(self.one, self.many, strict=True))
        return min(median(self.one) / median(self.many), pairwise)


def run(
    stage: Stage, subject: Participant, dataset: data.Dataset, *, rounds: int, seconds: int, connections: int
) -> Alone:
    """Let the subject create by turns for all users and for one."""
    drawn = data.Lottery(dataset).draw("create")
    found = Alone(connections, [], [])
    for number in range(rounds + 1):
        # Another one each time: a user may have so many tasks, and those that are deleted behind her back still count.
        user = dataset.users[number % len(dataset.users)].user_id
        for rates, requests in (found.many, drawn), (found.one, [replace(one, user_id=user) for one in drawn]):
            path = subject.write(requests, "alone")
            seen = load.run(subject.running, path, seconds if number else 1, connections, stage.postgres)
            subject.reset(dataset)
            if number:
                rates.append(seen.per_second)
        if number:
            say(f"alone {number}/{rounds}: one user {found.one[-1]:,.0f}, many {found.many[-1]:,.0f}")
    return found
