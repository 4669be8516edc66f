"""Users who do anything that the API lets them, in any order and at once, beside an oracle that knows each answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any, ClassVar

import asyncpg
import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from taskward.app import create_app
from tests import asks, oracle
from tests.asks import MAKERS, Chooser
from tests.conftest import NO_TLS, Cluster, make_settings, name_of, serving
from tests.oracle import TASK, TASKS, Ask, User, World
from tests.sizes import sized
from tests.test_isolation_http import ROUTES

USERS = 4
STEPS = 50
Digests = dict[str, str]

_OWNED = """
SELECT c.oid::regclass::text AS name FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped
WHERE c.relnamespace = 'taskward'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""


class Rows:
    """Sees every row of every user, past row-level security."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._connection = runner.run(asyncpg.connect(url))
        self.tables = [row["name"] for row in runner.run(self._connection.fetch(_OWNED))]
        lines = " UNION ALL ".join(f"SELECT user_id, '{name}' || x::text AS line FROM {name} x" for name in self.tables)
        self._query = f"SELECT user_id, md5(string_agg(line, E'\\n' ORDER BY line)) FROM ({lines}) l GROUP BY 1"

    def digests(self) -> Digests:
        """One for each user, of all rows in all tables."""
        return dict(self._runner.run(self._connection.fetch(self._query)))  # type: ignore[arg-type]

    def close(self) -> None:
        self._runner.run(self._connection.close())


class _Machine(RuleBasedStateMachine):
    """Each rule is one request by one of the users; the tests make a subclass that knows where to send it."""

    client: ClassVar[httpx.Client]
    rows: ClassVar[Rows]
    seen: ClassVar[Counter[oracle.Seen]]
    steps: ClassVar[list[Ask]]

    @initialize()
    def some_have_something(self) -> None:
        self.world = World()
        one, two, three, *_ = (self.world.add() for _ in range(USERS))
        self.digests = self.rows.digests()
        for user in (one, two, two, two, two, three):
            self.send(user, Ask("POST", TASKS, body={"title": f"First of {user.marker}"}))
        self.send(two, Ask("DELETE", TASK, two.tasks.ever[0]))
        self.send(two, Ask("DELETE", TASK, two.tasks.ever[1], params={"permanent": "true"}))
        self.send(three, Ask("POST", TASKS, body={"title": f"Also of {three.marker}", "id": one.tasks.ever[0]}))
        self.send(two, Ask("GET", TASKS, params={"limit": "1"}))

    def send(self, user: User, ask: Ask) -> None:
        answer = self.client.request(**ask.sending(user))
        written = oracle.check(user, ask, answer)
        before, self.digests = self.digests, self.rows.digests()
        changed = {owner for owner, _ in before.items() ^ self.digests.items()}
        assert changed == ({user.id} if written else set()), ask

    def teardown(self) -> None:
        for user in self.world.users:
            for ask in oracle.everything(user):
                oracle.check(user, ask, self.client.request(**ask.sending(user)))
        self.seen.update(self.world.seen)


def _rule(make: Callable[[Chooser], Ask]) -> Any:
    # A request is made out of some fifty choices. Drawn one by one they would be more than an example may have.
    @rule(actor=st.integers(0, USERS - 1), chance=st.randoms(use_true_random=True))
    def run(self: _Machine, actor: int, chance: random.Random) -> None:
        user = self.world.users[actor]
        ask = make(Chooser(chance.choice, self.world, user))
        self.send(user, ask)
        self.steps.append(ask)

    return run


def machine(**members: Any) -> type[_Machine]:
    rules = {f"rule_{number}": _rule(make) for number, make in enumerate(MAKERS)}
    return type("Machine", (_Machine,), {**rules, **members})


def missed(seen: Counter[oracle.Seen], *of_every_route: int) -> list[oracle.Seen]:
    """What must come about for the rest to have meant something, and did not."""
    wanted: list[oracle.Seen] = [(("GET", TASKS), "own page"), (("GET", TASKS), "page of another")]
    for route in ROUTES:
        wanted += [(route, "done"), *((route, status) for status in of_every_route)]
        if "{" in route[1]:
            wanted += [(route, 403), (route, 404), (route, 412 if route[0] != "GET" else 304)]
    return [one for one in wanted if not seen[one]]


def test_the_oracle_knows_every_route():
    assert asks.ROUTES == ROUTES


def test_whatever_users_do_each_answer_is_expected_and_nobody_elses_rows_move(cluster: Cluster, new_database: str):
    app = create_app(make_settings(new_database))
    with (
        serving(app) as url,
        httpx.Client(base_url=url, timeout=20, verify=NO_TLS) as client,
        # Its own loop is not made this thread's: the session has one.
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
        closing(Rows(cluster.url(name_of(new_database), superuser=True), runner)) as rows,
    ):
        assert len(rows.tables) >= 3
        tried = machine(client=client, rows=rows, seen=Counter(), steps=[])
        run_state_machine_as_test(
            tried,
            settings=settings(
                max_examples=sized(6, 80),
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                # To shrink a failure (`Phase.shrink`) takes minutes: every try is a life over HTTP.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert len(tried.steps) >= sized(150, 2000)
    if sized(0, 1):
        assert missed(tried.seen) == []


async def test_a_crowd_at_once_each_is_answered_from_what_is_theirs(new_database: str):
    app = create_app(make_settings(new_database))
    world = World()
    crowd = [world.add(at_once=True) for _ in range(20)]
    with serving(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30, verify=NO_TLS) as client:
            lives = (live(client, user, seed, sized(20, 250)) for seed, user in enumerate(crowd))
            await asyncio.gather(*lives)
            for user in crowd:
                for ask in oracle.everything(user):
                    oracle.check(user, ask, await client.request(**ask.sending(user)))
    if sized(0, 1):
        assert missed(world.seen, 401, 422) == []


async def live(client: httpx.AsyncClient, user: User, seed: int, requests: int) -> None:
    """One user of a crowd, who waits for each answer before the next request."""
    chance = random.Random(seed)  # noqa: S311
    for title in ("Kept", "Kept as well"):
        ask = Ask("POST", TASKS, body={"title": f"{title} by {user.marker}"})
        oracle.check(user, ask, await client.request(**ask.sending(user)))
        user.tasks.kept.add(user.tasks.ever[-1])
    of = Chooser(chance.choice, user.world, user)
    for _ in range(requests):
        ask = chance.choice(MAKERS)(of)
        oracle.check(user, ask, await client.request(**ask.sending(user)))
