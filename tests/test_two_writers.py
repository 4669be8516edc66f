"""A task or a list reads the same, byte by byte, whoever has written its JSON: the worker or PostgreSQL."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from taskward.http.responses import EntityTags, entity_response
from taskward.tasks.schedule.consistency import SCHEDULE
from taskward.tasks.types import LONGEST_DESCRIPTION, LONGEST_TAG, PRIORITIES
from tests.serving import NO_TLS, make_token
from tests.sizes import sized
from tests.task_values import MEMBERS

TASKS, LISTS, ME = "/api/v1/tasks", "/api/v1/lists", "/api/v1/me"
CHARACTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.text(CHARACTER, max_size=60)
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXT, some, max_size=3),
    max_leaves=6,
)
TIMES = st.builds(
    lambda at, fraction, offset: f"{at.isoformat(timespec='seconds')}{fraction}{offset}",
    st.datetimes(datetime(3, 1, 1), datetime(9997, 12, 31)),  # noqa: DTZ001 - an offset follows
    st.sampled_from(["", ".0", ".000000000", ".000000999"]) | st.integers(0, 10**9 - 1).map(lambda n: f".{n:09}"),
    st.sampled_from(["Z", "z", "+00:00", "-00:00", "+14:00", "-03:30"]),
)
DAYS = st.dates(date(2, 1, 1), date(9998, 12, 31)).map(str)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Argentina/Buenos_Aires"])
RULES = st.sampled_from(["freq=daily", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=YEARLY;COUNT=3", "FREQ=DAILY;UNTIL=99980101"])
FROM = st.sampled_from(["due", "completion"])
SOON = st.dates(date(1990, 1, 1), date(2100, 1, 1)).map(str)
PLANS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"due_date": DAYS}),
    st.fixed_dictionaries({"due_at": TIMES, "time_zone": ZONES}),
    st.fixed_dictionaries({"due_date": SOON, "time_zone": ZONES, "recurrence": RULES, "recurs_from": FROM}),
)
# As a create by one statement takes them; tags, parents and times of completion go another way.
SIMPLE = st.fixed_dictionaries(
    {"title": LINE},
    optional={
        **{name: st.sampled_from(one.good) for name, one in MEMBERS.items() if one.good and name != "title"},
        "id": st.builds(lambda: str(uuid7())),
        "description": st.none() | st.text(CHARACTER, max_size=LONGEST_DESCRIPTION // 50),
        "completed": st.booleans(),
        "priority": st.sampled_from(PRIORITIES),
        "metadata": st.dictionaries(TEXT, JSON, max_size=3),
        "list_id": st.none(),
    },
)
TAGS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=LONGEST_TAG)
    .map(str.strip)
    .filter(lambda tag: tag not in {"", ".", ".."}),
    max_size=4,
    unique=True,
)
CREATED = st.builds(lambda task, plan: task | plan, SIMPLE, PLANS)
OTHERS = st.builds(lambda task, tags: task | {"tags": tags}, CREATED, TAGS)
TRIED = settings(max_examples=sized(10, 400), deadline=None, database=None)


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[httpx2.Client]:
    token = make_token(f'erin "ø" \\ {secrets.token_hex(4)}')
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=20, verify=NO_TLS) as client:
        yield client


@pytest.fixture(scope="module")
def list_id(client: httpx2.Client) -> str:
    return str(client.post(LISTS, json={"name": "x"}).json()["id"])


def send(client: httpx2.Client, method: str, path: str, body: Any = None) -> bytes:
    """What is answered, without the end of its line."""
    answer = client.request(method, path, content=None if body is None else json.dumps(body))
    assert answer.status_code in {200, 201}, answer.text
    return answer.content.removesuffix(b"\n")


def check(client: httpx2.Client, answered: bytes, path: str) -> None:
    """What the worker has answered is what a read answers, and what PostgreSQL writes into a listing and an export."""
    assert send(client, "GET", path) == answered
    if path.startswith(TASKS):
        assert answered in send(client, "GET", f"{TASKS}?sort=-updated_at&limit=10")
        assert b'{"type":"task",' + answered[1:-1] + b',"meant_at":' in send(client, "GET", f"{ME}/export")
    else:
        assert answered[:-1] + b',"open_tasks":' in send(client, "GET", LISTS)
        assert b'{"type":"list",' + answered[1:] in send(client, "GET", f"{ME}/export")


def path_of(base: str, answered: bytes) -> str:
    return f"{base}/{json.loads(answered)['id']}"


@given(CREATED | OTHERS, st.booleans())
@TRIED
def test_a_new_task_reads_as_it_will_be_read(client: httpx2.Client, list_id: str, task: dict[str, Any], listed: Any):
    created = send(client, "POST", TASKS, {**task, "list_id": list_id} if listed else task)
    path = path_of(TASKS, created)
    check(client, created, path)
    client.delete(path, params={"permanent": "true"})


@given(CREATED, OTHERS | CREATED)
@TRIED
def test_a_changed_task_reads_as_it_will_be_read(client: httpx2.Client, task: dict[str, Any], changes: dict[str, Any]):
    path = path_of(TASKS, send(client, "POST", TASKS, task))
    changes = {name: value for name, value in changes.items() if name not in {"id", *SCHEDULE}}
    one = {"title": changes["title"]}
    for method, where, body in (
        ("PATCH", path, one),
        ("PATCH", path, changes),
        ("PATCH", f"{path}/complete", None),
        ("PUT", path, changes),
        ("POST", f"{path}/move", {}),
    ):
        check(client, send(client, method, where, body), path)
    operation = {"op": "update", "id": path.rpartition("/")[2], "task": changes}
    results = send(client, "POST", f"{TASKS}/batch", {"operations": [operation]})
    # It may be followed by the id of the next one of its series.
    assert results.startswith(b'{"results":[{"status":200,"task":' + send(client, "GET", path))
    trashed = client.delete(path, headers={"Prefer": "return=representation"}).content.removesuffix(b"\n")
    assert trashed in send(client, "GET", f"{TASKS}?deleted=true&sort=-updated_at&limit=10")
    check(client, send(client, "POST", f"{path}/restore"), path)
    client.delete(path, params={"permanent": "true"})


@given(LINE, LINE, st.none() | st.integers(0, 2**24 - 1).map(lambda color: f"#{color:06X}"))
@TRIED
def test_a_list_reads_as_it_will_be_read(client: httpx2.Client, name: str, other: str, color: str | None):
    created = send(client, "POST", LISTS, {"name": name, "color": color})
    path = path_of(LISTS, created)
    check(client, created, path)
    check(client, send(client, "PATCH", path, {"name": other}), path)
    check(client, send(client, "POST", f"{path}/move", {}), path)
    client.delete(path)


def test_what_a_client_has_already_is_not_written():
    def write(_row: Any) -> str:
        raise AssertionError

    answer = entity_response({"version": 7}, write, if_none_match=EntityTags(strong=frozenset({"7"})))
    assert (answer.status_code, answer.body) == (304, b"")
