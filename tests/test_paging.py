"""Pages of any listing, in any order: what stays as it is, is seen exactly once, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import UUID

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskward.http.query_string import pairs_of, with_cursor
from taskward.tasks.filters import TaskFilters
from taskward.tasks.parameters import SORTS
from taskward.tasks.query import listing
from tests.sizes import sized
from tests.test_task_members import make_list, pointers
from tests.users import User

TASKS = "/api/v1/tasks"
ROUNDS = sized(4, 150)
TITLES = ["a", "B", "b", "é", "e", "Zebra", "zebra", "日本", "  x", "x" * 255]
FILTERS: list[dict[str, Any]] = [
    {}, {"completed": "false"}, {"priority": "high,none"}, {"tag": "home"}, {"deleted": "true"},
    {"q": "x or zebra or b"},
    {"due_after": "2026-01-01", "tz": "Asia/Tokyo"}, {"overdue": "true"}, {"parent_id": "none"}, {"list_id": "none"},
]  # fmt: skip


def next_link(response: httpx2.Response) -> str | None:
    link: str | None = response.headers.get("link")
    return None if link is None else link[1 : link.index(">")]


def cursor_of(response: httpx2.Response) -> str:
    link = next_link(response)
    assert link is not None
    return parse_qs(urlsplit(link).query)["cursor"][0]


async def walk(user: User, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    response = await user.http.get(TASKS, params=params)
    while True:
        assert response.status_code == 200, response.text
        found += response.json()
        link = next_link(response)
        if link is None:
            return found
        response = await user.http.get(link)


def some_members(chance: random.Random, list_id: str) -> dict[str, Any]:
    due: dict[str, Any] = chance.choice(
        [
            {},
            {},
            {"due_date": f"2026-01-0{chance.randint(1, 3)}"},
            {"due_at": f"2026-01-0{chance.randint(1, 3)}T23:59:59.999999Z", "time_zone": "UTC"},
            {"due_at": "2026-01-02T12:00:00+05:30", "time_zone": "Asia/Kolkata"},
        ]
    )
    return {
        "title": chance.choice(TITLES), "completed": chance.random() < 0.4,
        "priority": chance.choice(["none", "low", "high"]),
        "tags": chance.choice([[], ["home"], ["home", "x"]]), "list_id": chance.choice([None, list_id]), **due,
    }  # fmt: skip


def some_sort(chance: random.Random) -> str:
    names = chance.sample(SORTS, chance.choice([1, 1, 2, 3]))
    return ",".join(chance.choice(["", "-"]) + name for name in names)


class Disturber:
    """Another client of the same user: it creates, changes, moves, trashes and erases what it may."""

    def __init__(self, user: User, victims: list[str], list_id: str, seed: int) -> None:
        self._user, self._victims, self._list_id = user, victims, list_id
        self._chance = random.Random(seed)  # noqa: S311
        self.writes = 0

    async def write(self) -> None:
        http, chance = self._user.http, self._chance
        victim = f"{TASKS}/{chance.choice(self._victims)}"
        members = some_members(chance, self._list_id)
        verb, path, body = chance.choice(
            [
                ("POST", TASKS, members),
                ("POST", TASKS, members),
                ("PATCH", victim, {"due_date": None, "due_at": None, **members}),
                ("PATCH", f"{victim}/complete", None),
                ("POST", f"{victim}/move", {"after": None}),
                ("DELETE", victim, None),
                ("POST", f"{victim}/restore", None),
                ("DELETE", f"{victim}?permanent=true", None),
            ]
        )
        answer = await http.request(verb, path, json=body)
        assert answer.status_code in {200, 201, 204, 404}, answer.text
        self._victims += [answer.json()["id"]] if answer.status_code == 201 else []
        self.writes += 1


async def test_what_stays_is_seen_exactly_once_in_its_order_whatever_is_written_meanwhile(alice: User):
    """A walk while nobody writes says in which order; later walks must show of it what nobody touches, as it was."""
    chance = random.Random(7)  # noqa: S311
    list_id = await make_list(alice)
    made = await asyncio.gather(*(alice.create(**some_members(chance, list_id)) for _ in range(60)))
    every_id = sorted(task["id"] for task in made)
    for task_id in chance.sample(every_id, 12):
        await alice.http.post(f"{TASKS}/{task_id}/move", json={"after": None})
    for task_id in chance.sample(every_id, 14):
        await alice.trash(task_id)
    kept = set(chance.sample(every_id, 40))
    victims = [task_id for task_id in every_id if task_id not in kept]
    for number in range(ROUNDS):
        wanted = {"sort": some_sort(chance), "limit": chance.choice([1, 2, 3, 7]), **chance.choice(FILTERS)}
        expected = [task for task in await walk(alice, **{**wanted, "limit": 200}) if task["id"] in kept]
        disturber = Disturber(alice, victims, list_id, number)
        seen: list[dict[str, Any]] = []
        response = await alice.http.get(TASKS, params=wanted)
        pages = 0
        while True:
            assert response.status_code == 200, (wanted, response.text)
            page = response.json()
            assert len(page) <= wanted["limit"]
            seen += page
            link = next_link(response)
            pages += 1
            if link is None or pages > 5000:
                break
            # A client at the same time, and one whose write is certainly between two pages; but they come to an end.
            if disturber.writes < 100:
                response, *_ = await asyncio.gather(alice.http.get(link), disturber.write())
                await disturber.write()
            else:
                response = await alice.http.get(link)
        assert link is None, wanted
        assert [task for task in seen if task["id"] in kept] == expected, wanted
        assert disturber.writes >= min(pages - 1, 100)


NULLS = ("due", "completed_at")


@pytest.mark.parametrize("name", SORTS)
async def test_each_sort_goes_both_ways_with_ties_by_id_and_nulls_last(alice: User, name: str):
    chance = random.Random(3)  # noqa: S311
    list_id = await make_list(alice)
    for _ in range(16):
        await alice.create(**some_members(chance, list_id))
    for sign in ("", "-"):
        found = await walk(alice, sort=sign + name, limit=3)
        assert len({task["id"] for task in found}) == len(found) == 16
        plain = await walk(alice, sort=sign + name, limit=200)
        assert found == plain
        if name == "due":
            values = [task["due_at"] or (task["due_date"] and f"{task['due_date']}T23:59:59.999999Z") for task in found]
        elif name == "priority":
            values = [("none", "low", "medium", "high", "urgent").index(task["priority"]) for task in found]
        elif name == "title":
            values = [{"é": "e", "日本": "日 本"}.get(task["title"], task["title"].lower()) for task in found]
            values = [f" {value} "[:255] for value in values]
        else:
            values = [task[name] for task in found]
        filled = [(value, task["id"]) for value, task in zip(values, found, strict=True) if value is not None]
        assert values[len(filled) :] == [None] * (16 - len(filled))
        assert len({value for value, _ in filled}) > 1
        assert (len(filled) < 16) == (name in NULLS)
        by_id = sorted(filled, key=lambda pair: pair[1])
        # Python's sort keeps the order of what is equal, downwards as well.
        assert filled == sorted(by_id, key=lambda pair: pair[0], reverse=bool(sign))


async def test_a_sort_by_several_things_takes_the_next_where_the_first_are_equal(alice: User):
    chance = random.Random(4)  # noqa: S311
    list_id = await make_list(alice)
    for _ in range(20):
        await alice.create(**some_members(chance, list_id))
    found = await walk(alice, sort="-priority,completed_at,-id", limit=3)
    order = ("none", "low", "high")
    keys = [
        (-order.index(task["priority"]), task["completed_at"] or "9999", -UUID(task["id"]).int)
        for task in found
    ]  # fmt: skip
    assert keys == sorted(keys)
    assert len({task["id"] for task in found}) == 20
    # What comes after the id would never be asked.
    assert await walk(alice, sort="priority,id,title", limit=3) == await walk(alice, sort="priority", limit=200)


async def test_count_is_of_all_pages_and_only_where_it_is_asked_for(alice: User, bob: User):
    await bob.create()
    for number in range(7):
        await alice.create(completed=number % 2 == 0)
    for params, total in [({}, 7), ({"completed": "true"}, 4), ({"q": "nothing"}, 0), ({"deleted": "true"}, 0)]:
        response = await alice.http.get(TASKS, params={"count": "true", "limit": "2", "sort": "due", **params})
        assert response.headers["x-total-count"] == str(total)
        link = next_link(response)
        while link:
            response = await alice.http.get(link)
            assert response.headers["x-total-count"] == str(total)
            link = next_link(response)
    for params in ({}, {"count": "false"}):
        assert "x-total-count" not in (await alice.http.get(TASKS, params=params)).headers
    assert pointers(await alice.http.get(TASKS, params={"count": "1"})) == ["/count"]


OTHERS = [
    {"sort": "-due"}, {"sort": "due,title"}, {"sort": "title"}, {"tz": "Asia/Tokyo"}, {"completed": "true"},
    {"deleted": "true"}, {"q": "x"}, {"tag": "home"}, {"priority": "high"}, {"list_id": "none"},
    {"parent_id": "none"},
    {"due_before": "2026-01-01"}, {"due_after": "2026-01-01"}, {"overdue": "false"},
    {"updated_since": "2026-01-01"},
    {"created_since": "2026-01-01"}, {"completed_since": "2026-01-01"}, {"completed_before": "2026-01-01"},
    {"due": "none"}, {"due_on": "2026-01-01"}, {"tag_any": "home"}, {"tag": "none"},
    {"series": "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01"},
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS, ids=str)
async def test_a_cursor_holds_for_its_filters_and_its_order_only(alice: User, other: dict[str, str]):
    for _ in range(3):
        await alice.create(due_date="2026-01-10")
    cursor = cursor_of(await alice.http.get(TASKS, params={"sort": "due", "limit": "1"}))
    refused = await alice.http.get(TASKS, params={"sort": "due", "limit": "1", **other, "cursor": cursor})
    assert pointers(refused) == ["/cursor"]
    for same in ({"limit": "2"}, {"count": "true"}):
        answer = await alice.http.get(TASKS, params={"sort": "due", **same, "cursor": cursor})
        assert len(answer.json()) == 2 if "count" in same else answer.status_code == 200


ODD_KEYS: list[Any] = [
    None, True, 0, -1, 2**31 - 1, 2**31, -(2**31), 2**63, 1.5, "", "x", "\0", "\ud7ff", "x" * 900, [], {}, [None],
    "NaN", "2026-01-10", "2026-01-10T00:00:00", "2026-01-10T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "infinity", "20260110T000000Z", "24:00", "'; --",
]  # fmt: skip


@pytest.mark.parametrize("sort", [*SORTS, "title,due", "priority,completed_at"])
async def test_a_cursor_that_was_made_by_hand_is_harmless(alice: User, bob: User, sort: str):
    """With the right digest and any keys: there is no secret in it, and it says nothing about whose rows there are."""
    for user in (alice, bob):
        for number in range(3):
            await user.create(f"{number}", due_date="2026-01-10")
    head = urlsafe_b64decode(cursor_of(await alice.http.get(TASKS, params={"sort": sort, "limit": "1"})) + "==")[:24]
    number = len([name for name in sort.split(",") if name != "id"])
    keys = ODD_KEYS[:: sized(4, 1)]
    texts = [orjson.dumps([key] * count) for key in keys for count in {0, 1, number, number + 1}]
    texts += [b"", b"[", b"null", b"{}", b"1", b'["\\ud800"]', b"[1e400]", b"[NaN]", b"[" * 1000, b"\xff", b"[null] x"]
    statuses = set()
    for text in texts:
        for last in (head[8:], b"\0" * 16, b"\xff" * 16):
            cursor = urlsafe_b64encode(head[:8] + last + text).rstrip(b"=").decode()
            answer = await alice.http.get(TASKS, params={"sort": sort, "cursor": cursor})
            assert answer.status_code in {200, 422}, (text, answer.text)
            statuses.add(answer.status_code)
            if answer.status_code == 422:
                assert pointers(answer) == ["/cursor"]
            else:
                assert {task["user_id"] for task in answer.json()} <= {alice.id}
    assert statuses == {200, 422}


async def test_a_cursor_of_the_longest_titles_fits_its_own_bounds(alice: User):
    for character in ("😀", "ﷺ", "x", "\u0390"):
        for _ in range(2):
            await alice.create(character * 255)
    found = await walk(alice, sort="title,position", limit=1)
    assert len({task["id"] for task in found}) == 8


async def test_a_sort_by_creation_or_change_is_by_those_times(alice: User):
    made = [await alice.create(f"{n}") for n in range(4)]
    await alice.http.patch(f"{TASKS}/{made[1]['id']}", json={"title": "changed"})
    assert [task["title"] for task in await walk(alice, sort="-updated_at", limit=2)] == ["changed", "3", "2", "0"]
    since = datetime.fromisoformat(made[2]["created_at"])
    found = await walk(alice, sort="created_at", created_since=since.isoformat().replace("+00:00", "Z"))
    assert [task["title"] for task in found] == ["2", "3"]
    later = (since + timedelta(microseconds=1)).astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert [task["title"] for task in await walk(alice, sort="id", updated_since=later)] == ["changed", "3"]


@pytest.mark.parametrize("name", ["list_id", "parent_id"])
async def test_a_page_of_what_has_gone_says_so(alice: User, bob: User, name: str):
    parent = (await alice.create())["id"]
    of = {"list_id": await make_list(alice), "parent_id": parent}[name]
    for _ in range(3):
        await alice.create(**{name: of})
    page = {name: of, "limit": "2", "sort": "id"}
    cursor = cursor_of(await alice.http.get(TASKS, params=page))
    after = {**page, "cursor": cursor}
    assert len((await alice.http.get(TASKS, params=after)).json()) == 1
    theirs = await bob.http.get(TASKS, params=after)
    gone = f"{TASKS}/{of}?permanent=true" if name == "parent_id" else f"/api/v1/lists/{of}?tasks=trash"
    assert (await alice.http.delete(gone)).status_code == 204
    for verb in ("GET", "HEAD"):
        assert (await alice.http.request(verb, TASKS, params=after)).status_code == 422
    answer = await alice.http.get(TASKS, params=after)
    assert pointers(answer) == ["/cursor"]
    assert theirs.json()["errors"] == answer.json()["errors"], "another's is told in the same words"
    assert (await alice.http.get(TASKS, params=page)).json() == []


def test_a_filter_that_is_not_asked_for_is_not_in_a_cursor():
    """Or each new one would make the cursors of the version before invalid."""
    assert listing(TaskFilters()).shape == ""
    assert listing(TaskFilters.model_validate({"completed": "true"})).shape == "completed=True;"


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("cursor={}&limit=1&completed=false", "limit=1&completed=false&"),
        ("limit=1&cursor={}&completed=false", "limit=1&completed=false&"),
        ("limit=1&completed=false&cursor={}", "limit=1&completed=false&"),
        # Whatever way a client writes it, it is written back in one.
        ("%6Cimit=1&%63ursor={}&completed=%66alse", "limit=1&completed=false&"),
        ("limit=1&&completed=false&cursor={}&", "limit=1&completed=false&"),
        ("limit=1&tz=Europe%2FBerlin&cursor={}", "limit=1&tz=Europe%2FBerlin&"),
        ("limit=1&tz=Europe/Berlin&cursor={}", "limit=1&tz=Europe%2FBerlin&"),
        ("limit=1&tz=Europe%2fBerlin&cursor={}", "limit=1&tz=Europe%2FBerlin&"),
        ("q=buy+milk&limit=1&cursor={}", "q=buy+milk&limit=1&"),
        ("q=buy%20milk&limit=1&cursor={}", "q=buy+milk&limit=1&"),
        ("tag_any=home&limit=1&cursor={}&tag_any=%C3%A9", "tag_any=home&limit=1&tag_any=%C3%A9&"),
    ],
)
async def test_a_link_has_the_query_with_the_cursor_at_its_end(alice: User, query: str, kept: str):
    for _ in range(3):
        await alice.create(tags=["home"])
    pairs = [pair for pair in query.split("&") if "{}" not in pair]
    first = next_link(await alice.http.get(f"{TASKS}?{'&'.join(pairs)}"))
    assert first is not None
    cursor = parse_qs(urlsplit(first).query)["cursor"][0]
    assert first == f"{TASKS}?{kept}cursor={cursor}"
    second = await alice.http.get(f"{TASKS}?{query.format(cursor)}")
    assert next_link(second) == f"{TASKS}?{kept}cursor={cursor_of(second)}"
    assert cursor_of(second) != cursor


async def test_a_link_of_the_listing_without_a_query_has_the_cursor_alone(alice: User):
    for _ in range(51):
        await alice.create()
    response = await alice.http.get(TASKS)
    assert next_link(response) == f"{TASKS}?cursor={cursor_of(response)}"


# Some bytes that `urlencode` writes as they are, some that it encodes, and separators.
PARTS = [
    *'=&;+%/:~.-_>"az09',
    "cursor=",
    "cursor",
    "%63ursor=",
    "%2D",
    "%2d",
    "%2F",
    "%2f",
    "%20",
    "%C3%A9",
    "%7E",
    "%00",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_the_next_query_is_that_which_parsing_and_encoding_would_make(query: str):
    scope: dict[str, Any] = {"query_string": query.encode()}
    try:
        pairs_of(scope)
    except ValueError:
        return  # such a request is refused
    expected = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "cursor"]
    assert with_cursor(scope, "AbC-_9") == urlencode([*expected, ("cursor", "AbC-_9")])


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=4))
def test_the_next_query_keeps_what_was_encoded_as_it_is_encoded_here(pairs: list[tuple[str, str]]):
    kept = urlencode([(name.encode("utf-8", "replace"), value.encode("utf-8", "replace")) for name, value in pairs])
    scope: dict[str, Any] = {"query_string": f"{kept}&cursor=x".lstrip("&").encode()}
    expected = [(name, value) for name, value in parse_qsl(kept, keep_blank_values=True) if name != "cursor"]
    assert with_cursor(scope, "AbC-_9") == urlencode([*expected, ("cursor", "AbC-_9")])


def test_a_query_is_parsed_once_until_another_one_is_put_in_its_place():
    scope: dict[str, Any] = {"query_string": b"a=1"}
    assert pairs_of(scope) is pairs_of(scope)
    scope["query_string"] = b"a=2"
    assert pairs_of(scope) == [("a", "2")]
