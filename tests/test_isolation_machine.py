"""Users who do anything that the API lets them, in any order and at once, beside an oracle that knows each answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import closing
from typing import Any, ClassVar

import asyncpg
import httpx2
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from taskward.app import create_app
from tests import reference_model, requests
from tests.clusters import Cluster
from tests.databases import name_of
from tests.reference_listing import SORTS
from tests.reference_model import FILTERS, LIST, LISTS, TAG, TAGS, TASK, TASKS, Ask, User, World
from tests.reference_trees import UNTOLD
from tests.requests import MAKERS, Chooser
from tests.route_table import ROUTES
from tests.serving import NO_TLS, make_settings, serving
from tests.sizes import sized

USERS = 4
STEPS = 150
MORE = 15
"""How often users go on for a while, where something that is wanted has not come about by chance."""
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
    """Each step is one request by one of the users; the tests make a subclass that knows where to send it."""

    client: ClassVar[httpx2.Client]
    rows: ClassVar[Rows]
    seen: ClassVar[Counter[reference_model.Seen]]
    steps: ClassVar[list[Ask]]
    failed = True

    # A request is made out of some fifty choices. Drawn one by one they would be more than an example may have.
    @initialize(seed=st.integers(0, 2**64 - 1))
    def some_have_something(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.world = World()
        one, two, three, *_ = (self.world.add() for _ in range(USERS))
        self.digests = self.rows.digests()
        for user in (one, two, two, two, two, three):
            self.send(user, Ask("POST", TASKS, body={"title": f"First of {user.marker}", "tags": ["home"]}))
        self.send(two, Ask("DELETE", TASK, two.tasks.ever[0]))
        self.send(two, Ask("DELETE", TASK, two.tasks.ever[1], params={"permanent": "true"}))
        self.send(three, Ask("POST", TASKS, body={"title": f"Also of {three.marker}", "id": one.tasks.ever[0]}))
        for user in (one, two, two, three):
            self.send(user, Ask("POST", LISTS, body={"name": f"List of {user.marker}"}))
        self.send(two, Ask("DELETE", LIST, two.lists.ever[1]))
        self.send(two, Ask("GET", TASKS, params={"limit": "1"}))
        for _ in range(6):
            # A tree that is nearly as deep as one may be.
            body = {"title": f"Part of {one.marker}", "parent_id": one.tasks.ever[-1], "list_id": one.lists.ever[0]}
            self.send(one, Ask("POST", TASKS, body=body))
        for change in ({}, {"title": f"Next of {three.marker}"}):
            self.complete_a_series_and_reopen(three, change)

    def complete_a_series_and_reopen(self, user: User, change: dict[str, Any]) -> None:
        """By chance a task that recurs, has a part and is completed is rare, and one that is reopened then more so."""
        recurs = {"due_date": "2026-02-01", "time_zone": "Europe/Paris", "recurrence": "FREQ=DAILY"}
        self.send(user, Ask("POST", TASKS, body={"title": f"Often of {user.marker}", **recurs}))
        task = user.tasks.ever[-1]
        self.send(user, Ask("POST", TASKS, body={"title": f"Part of {user.marker}", "parent_id": task}))
        self.send(user, Ask("PATCH", f"{TASK}/complete", task, body={"completed": True}))
        if change:
            self.send(user, Ask("PATCH", TASK, user.tasks[task]["_next"], body=change))
        self.send(user, Ask("PATCH", f"{TASK}/complete", task, body={"completed": False}))

    @rule()
    def somebody_asks_anything(self) -> None:
        # One has more to do than the others, so that much comes together.
        user = self.chance.choice([*[self.world.users[0]] * 3, *self.world.users])
        ask = self.chance.choice(MAKERS)(Chooser(self.chance.choice, self.world, user))
        note(f"{user.marker}: {ask}")
        self.send(user, ask)
        self.steps.append(ask)

    def send(self, user: User, ask: Ask) -> None:
        self.failed = True
        answer = self.client.request(**ask.sending(user))
        written = reference_model.check(user, ask, answer)
        for one in reference_model.to_learn(user):
            reference_model.learn(user, one, self.client.request(**one.sending(user)))
        before, self.digests = self.digests, self.rows.digests()
        changed = {owner for owner, _ in before.items() ^ self.digests.items()}
        assert changed == ({user.id} if written else set()), ask
        self.failed = False

    def teardown(self) -> None:
        if self.failed:
            return
        # Two more have never written anything, and are told that nothing is there, each under a tag of their own.
        for user in (*self.world.users, self.world.add(), self.world.add()):
            for ask in reference_model.everything(user):
                reference_model.check(user, ask, self.client.request(**ask.sending(user)))
        busiest = self.world.users[0]
        for ask in reference_model.in_every_way(busiest):
            reference_model.check(busiest, ask, self.client.request(**ask.sending(busiest)))
        self.seen.update(self.world.seen)


# What the oracle notes besides statuses.
_NOTED: dict[reference_model.Route, tuple[str, ...]] = {
    ("GET", TASKS): (
        *("own page", "page of another"),
        *(f"by {name}" for name in FILTERS if name not in {"tz", "sort"}),
        *(f"sorted by {sign}{name}" for name in SORTS for sign in ("", "-")),
    ),
    ("POST", TASKS): ("/list_id", "/parent_id", "too deep", "/time_zone", "/recurrence", "/due_date"),
    ("PATCH", TASK): ("/list_id", "/parent_id", "cycle"),
    ("PUT", TASK): ("/list_id", "/parent_id"),
    ("PATCH", f"{TASK}/complete"): ("next made", "next removed", "next kept", "series ended", "parts copied"),
    ("DELETE", TASKS): ("emptied",),
    ("DELETE", f"{TASKS}/completed"): ("cleared",),
    ("DELETE", TASK): ("tree trashed", "tree erased"),
    ("POST", f"{TASK}/restore"): ("tree restored", "without its parent"),
    ("POST", f"{TASK}/move"): ("/list_id", "/parent_id", "cycle", "/after", "between"),
    ("DELETE", LIST): ("/tasks", "with tasks to trash", "with tasks to keep"),
    ("POST", f"{LIST}/move"): ("/after",),
    ("PATCH", TAG): ("both",),
}


def missed(seen: Counter[reference_model.Seen], *of_every_route: int) -> list[reference_model.Seen]:
    """What must come about for the rest to have meant something, and did not."""
    wanted: list[reference_model.Seen] = [(route, what) for route, noted in _NOTED.items() for what in noted]
    for route in ROUTES:
        if route == ("DELETE", reference_model.ME):
            continue
        wanted += [(route, "done"), *((route, status) for status in of_every_route)]
        if route[1].startswith(TAGS):
            wanted += [(route, 404)] * ("{" in route[1])
        elif "{" in route[1]:
            wanted += [(route, 403), (route, 404), (route, 412 if route[0] != "GET" else 304)]
    return [one for one in wanted if not seen[one]]


def test_the_oracle_knows_every_route():
    assert requests.ROUTES == ROUTES


def test_whatever_users_do_each_answer_is_expected_and_nobody_elses_rows_move(cluster: Cluster, new_database: str):
    app = create_app(make_settings(new_database))
    with (
        serving(app) as url,
        httpx2.Client(base_url=url, timeout=20, verify=NO_TLS) as client,
        # Its own loop is not made this thread's: the session has one.
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
        closing(Rows(cluster.url(name_of(new_database), superuser=True), runner)) as rows,
    ):
        assert len(rows.tables) >= 3
        tried: Any = type("Machine", (_Machine,), {"client": client, "rows": rows, "seen": Counter(), "steps": []})
        for examples in (sized(2, 27), *[9] * sized(0, MORE)):
            run_state_machine_as_test(
                tried,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    # To shrink a failure (`Phase.shrink`) takes minutes: every try is a life over HTTP.
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
            if not missed(tried.seen):
                break
    assert len(tried.steps) >= sized(150, 2000)
    if sized(0, 1):
        assert missed(tried.seen) == []


def test_nobody_asks_for_a_row_by_an_id_that_no_answer_told():
    world = World()
    user, other = (world.add(at_once=True) for _ in range(2))
    of = Chooser(lambda options: options[0], world, user)
    for row_id in (f"{UNTOLD}1", "told"):
        other.tasks[row_id] = {"id": row_id, "deleted_at": None}
    assert of._of([*other.tasks]) == "told"


async def test_a_crowd_at_once_each_is_answered_from_what_is_theirs(new_database: str):
    app = create_app(make_settings(new_database))
    world = World()
    crowd = [world.add(at_once=True) for _ in range(20)]
    with serving(app) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=30, verify=NO_TLS) as client:
            for year, requests in enumerate((sized(10, 250), *[80] * sized(0, MORE))):
                lives = (live(client, user, f"{year} {seed}", requests) for seed, user in enumerate(crowd))
                await asyncio.gather(*lives)
                for user in crowd:
                    for ask in reference_model.everything(user):
                        reference_model.check(user, ask, await client.request(**ask.sending(user)))
                for user in crowd[:5]:
                    for ask in reference_model.in_every_way(user):
                        reference_model.check(user, ask, await client.request(**ask.sending(user)))
                if not missed(world.seen, 401, 422):
                    break
    if sized(0, 1):
        assert missed(world.seen, 401, 422) == []


async def live(client: httpx2.AsyncClient, user: User, seed: str, requests: int) -> None:
    """One user of a crowd, who waits for each answer before the next request."""
    chance = random.Random(seed)  # noqa: S311
    for path, name in ((TASKS, "title"), (TASKS, "title"), (LISTS, "name")):
        ask = Ask("POST", path, body={name: f"Kept by {user.marker}"})
        await send(client, user, ask)
        shelf = user.shelf(ask)
        shelf.kept.add(shelf.ever[-1])
    of = Chooser(chance.choice, user.world, user)
    for _ in range(requests):
        ask = chance.choice(MAKERS)(of)
        await send(client, user, ask)


async def send(client: httpx2.AsyncClient, user: User, ask: Ask) -> None:
    reference_model.check(user, ask, await client.request(**ask.sending(user)))
    for one in reference_model.to_learn(user):
        reference_model.learn(user, one, await client.request(**one.sending(user)))
