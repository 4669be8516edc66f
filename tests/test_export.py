"""An export has everything, and an import puts it back."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.identity import Owner
from taskward.lists.lines import LINES as LISTS
from taskward.runtime.unsent import TIGHT, NeedsRoom
from taskward.storage.database import Database
from taskward.tasks.lines import LINES as TASK_LINES
from taskward.tasks.statements import export_changed
from taskward.tasks.tree import DEEPEST_TREE
from taskward.transfer.exporting import PAGE_BYTES, export
from tests.databases import Superuser
from tests.sizes import sized
from tests.test_task_members import CHANGED, WHOLE
from tests.users import NewUser, User

KINDS = (LISTS, TASK_LINES)
TASKS = "/api/v1/tasks"
ME = "/api/v1/me"
VARYING = {"version", "created_at", "updated_at", "user_id"}
LINES = {"Content-Type": "application/x-ndjson"}


async def exported(user: User) -> bytes:
    response = await user.http.get(f"{ME}/export")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return response.content


def lines(export: bytes) -> list[Any]:
    return [json.loads(line) for line in export.splitlines()]


def lasting(export: bytes) -> list[Any]:
    return [{name: value for name, value in line.items() if name not in VARYING} for line in lines(export)]


async def put_back(user: User, export: bytes) -> httpx2.Response:
    return await user.http.post(f"{ME}/import", content=export, headers=LINES)


async def fill(user: User) -> None:
    """All that there is: lists, trees, both kinds of due, a series, the trash, moved tasks and odd texts."""
    http = user.http
    lists = [(await http.post("/api/v1/lists", json={"name": n, "color": "#123abc"})).json() for n in ("B", "Ä🙂")]
    await http.post(f"/api/v1/lists/{lists[1]['id']}/move", json={"after": None})
    below = await user.create("Below", description="two\nlines \\u0000 \"'")
    top = await user.create("Top", list_id=lists[0]["id"], tags=["x", 'y"'], metadata={"": [1.5, {"n": 10**30}]})
    await http.patch(f"{TASKS}/{below['id']}", json={"parent_id": top["id"]})
    lowest = await user.create("Lowest", parent_id=below["id"], due_date="2028-02-29", priority="urgent")
    await http.post(f"{TASKS}/{top['id']}/move", json={"after": None})
    series = await user.create(
        "Series", due_at="2026-01-10T09:00:00Z", time_zone="Asia/Tokyo", recurrence="FREQ=DAILY;COUNT=5",
        recurs_from="completion",
    )  # fmt: skip
    assert "link" in (await http.patch(f"{TASKS}/{series['id']}/complete")).headers
    whole = (await http.post(TASKS, json=WHOLE)).json()
    await user.create(**{**CHANGED, "due_at": None, "list_id": lists[0]["id"], "parent_id": whole["id"]})
    trashed = await user.create("Trashed")
    await user.create("Trashed with it", parent_id=trashed["id"])
    await user.trash(trashed["id"])
    await user.trash(lowest["id"])


async def test_an_export_put_back_into_an_empty_account_gives_the_same_export(alice: User):
    await fill(alice)
    before = await exported(alice)
    assert (await alice.http.delete(ME, params={"confirm": alice.id})).status_code == 204
    assert lines(await exported(alice)) == [{"type": "end", "lists": 0, "tasks": 0}]
    report = (await put_back(alice, before)).json()
    assert report == {
        "lists": 2,
        "tasks": 9,
        "unchanged": 0,
        "whole": True,
        "losses": [],
        "losses_left_out": 0,
        "counts": {},
    }
    after = await exported(alice)
    assert lasting(after) == lasting(before)
    assert {line["user_id"] for line in lines(after)[:-1]} == {alice.id}


async def test_to_put_it_back_twice_changes_nothing(alice: User):
    await fill(alice)
    before = await exported(alice)
    tag = (await alice.http.get(TASKS)).headers["etag"]
    report = (await put_back(alice, before)).json()
    assert report == {
        "lists": 0,
        "tasks": 0,
        "unchanged": 11,
        "whole": True,
        "losses": [],
        "losses_left_out": 0,
        "counts": {},
    }
    assert await exported(alice) == before
    assert (await alice.http.get(TASKS)).headers["etag"] == tag


async def test_what_was_changed_since_stays_changed(alice: User):
    task = await alice.create("Before")
    before = await exported(alice)
    await alice.http.patch(f"{TASKS}/{task['id']}", json={"title": "After"})
    await put_back(alice, before)
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json()["title"] == "After"


async def test_the_trash_is_restored_from_what_was_put_back(alice: User):
    await fill(alice)
    before = await exported(alice)
    await alice.http.delete(ME, params={"confirm": alice.id})
    await put_back(alice, before)
    (root,) = [line for line in lines(before) if line.get("title") == "Trashed"]
    assert (await alice.http.post(f"{TASKS}/{root['id']}/restore")).status_code == 200
    live = {task["title"] for task in (await alice.http.get(TASKS)).json()}
    assert {"Trashed", "Trashed with it"} <= live
    assert "Lowest" not in live


async def test_an_export_is_ones_own_and_so_is_an_import(alice: User, bob: User):
    await fill(alice)
    hers = await exported(alice)
    assert lines(await exported(bob)) == [{"type": "end", "lists": 0, "tasks": 0}]
    # Whoever has the file has copies of his own, under the same ids.
    assert (await put_back(bob, hers)).status_code == 200
    assert {line["user_id"] for line in lines(await exported(bob))[:-1]} == {bob.id}
    assert lasting(await exported(bob)) == lasting(hers)
    await bob.http.delete(ME, params={"confirm": bob.id})
    assert await exported(alice) == hers


async def test_parents_come_first_and_lines_may_be_sent_in_parts(alice: User, new_user: NewUser):
    await fill(alice)
    whole = await exported(alice)
    seen: set[str] = set()
    for line in lines(whole)[:-1]:
        assert line.get("parent_id") in {None, *seen}
        seen.add(line["id"])
    carol = await new_user("carol")
    for line in whole.splitlines():
        assert (await put_back(carol, line)).status_code == 200
    assert lasting(await exported(carol)) == lasting(whole)


async def test_lines_may_come_in_any_order(alice: User, new_user: NewUser):
    await fill(alice)
    whole = await exported(alice)
    carol = await new_user("carol")
    assert (await put_back(carol, b"\n\n".join(reversed(whole.splitlines())))).status_code == 200
    assert lasting(await exported(carol)) == lasting(whole)


async def test_no_restored_task_hangs_below_one_in_the_trash(alice: User):
    # Only a file that nobody exported has this: a part in the trash for the sake of what is above its parent.
    a, b, c = (str(uuid7()) for _ in range(3))
    # What has been in the trash for long would be purged.
    trashed = {"deleted_at": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    records = [
        task_line(id=a, **trashed, deleted_with=a),
        task_line(id=b, parent_id=a, **trashed, deleted_with=b),
        task_line(id=c, parent_id=b, **trashed, deleted_with=a),
    ]
    assert (await put_back(alice, as_lines(*records))).status_code == 200
    assert (await alice.http.post(f"{TASKS}/{a}/restore")).status_code == 200
    assert [task["id"] for task in (await alice.http.get(TASKS)).json()] == [a]
    assert (await put_back(alice, await exported(alice))).json()["unchanged"] == 3
    restored = (await alice.http.post(f"{TASKS}/{c}/restore")).json()
    assert restored["parent_id"] is None


def task_line(**members: Any) -> dict[str, Any]:
    return {"type": "task", "id": str(uuid7()), "title": "x", **members}


def as_lines(*records: Any) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


async def test_trees_of_somebody_of_whom_the_planner_knows_nothing_are_exported(alice: User):
    lines = [task_line() for _ in range(700)]
    above = lines[0]["id"]
    for _ in range(DEEPEST_TREE - 1):
        parts = [task_line(parent_id=above) for _ in range(80)]
        lines += parts
        above = parts[-1]["id"]
    assert (await put_back(alice, as_lines(*lines))).json()["tasks"] == len(lines)
    assert json.loads((await exported(alice)).splitlines()[-1]) == {"type": "end", "lists": 0, "tasks": len(lines)}


A, B = "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c", "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8d"
TRASHED = {"deleted_at": "2026-01-10T09:30:00Z", "deleted_with": A}


@pytest.mark.parametrize(
    ("records", "pointer"),
    [
        (b"{", "/1"),
        (b'{"type":"end","lists":0,"tasks":0}\nnonsense', "/2"),
        (b"\xff\xfe", "/1"),
        (as_lines(5), "/1"),
        (as_lines({"title": "x"}), "/1"),
        (as_lines({"type": "zap"}), "/1"),
        (as_lines(task_line(), task_line(title="")), "/2/title"),
        (as_lines(task_line(), task_line(id="x")), "/2/id"),
        (as_lines(task_line(owner="bob")), "/1/owner"),
        (as_lines(task_line(position="A!")), "/1/position"),
        (as_lines(task_line(deleted_at="x")), "/1/deleted_at"),
        (as_lines(task_line(due_at="2026-01-10T09:30:00Z")), "/1/time_zone"),
        (as_lines(task_line(), task_line(list_id=A)), "/2/list_id"),
        (as_lines(task_line(), task_line(parent_id=A)), "/2/parent_id"),
        (as_lines(task_line(id=A, **TRASHED), task_line(parent_id=A)), "/2/parent_id"),
        (as_lines({"type": "list", "id": A, "name": ""}), "/1/name"),
        (as_lines({"type": "list", "id": A, "name": "x", "color": "red"}), "/1/color"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_line_that_cannot_be_put_back_is_named_and_nothing_is(alice: User, records: bytes, pointer: str):
    good = as_lines({"type": "list", "id": str(uuid7()), "name": "Good"}, task_line())
    response = await put_back(alice, records + b"\n" + good)
    assert response.status_code == 422, response.text
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert lines(await exported(alice)) == [{"type": "end", "lists": 0, "tasks": 0}]


async def test_tasks_that_are_parts_of_each_other_are_refused(alice: User):
    response = await put_back(alice, as_lines(task_line(id=A, parent_id=B), task_line(id=B, parent_id=A)))
    assert (response.status_code, response.json()["type"]) == (409, "/problems/cycle")
    response = await put_back(alice, as_lines(task_line(id=A, parent_id=A)))
    assert response.status_code == 409
    ids = [str(uuid7()) for _ in range(9)]
    chain = [task_line(id=one, parent_id=above) for one, above in zip(ids, [None, *ids[:-1]], strict=True)]
    deep = await put_back(alice, as_lines(*chain))
    assert [error["pointer"] for error in deep.json()["errors"]] == ["/9/parent_id"]
    assert (await alice.http.get(TASKS)).json() == []
    assert (await put_back(alice, as_lines(*chain[:8]))).json()["tasks"] == 8


async def test_a_strangers_row_cannot_be_named(alice: User, bob: User):
    his = await bob.create("His")
    his_list = (await bob.http.post("/api/v1/lists", json={"name": "His"})).json()
    for member, known in (("parent_id", his["id"]), ("list_id", his_list["id"])):
        refusals = [await put_back(alice, as_lines(task_line(**{member: one}))) for one in (known, str(uuid7()))]
        bodies = [{k: v for k, v in refusal.json().items() if k != "request_id"} for refusal in refusals]
        assert refusals[0].status_code == 422
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json"])
async def test_a_file_is_declared_as_what_it_may_be(alice: User, kind: str):
    response = await alice.http.post(f"{ME}/import", content=as_lines(task_line()), headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8"])
async def test_a_table_of_another_service_is_declared_as_one(alice: User, kind: str):
    response = await alice.http.post(
        f"{ME}/import",
        params={"format": "todoist"},
        content=b"TYPE,CONTENT\ntask,x\n",
        headers={"Content-Type": kind},
    )
    assert (response.status_code, response.json()["tasks"]) == (200, 1)


@pytest.mark.parametrize("kind", ["text/html", "application/x-www-form-urlencoded", "text/csv; charset=latin-1", ""])
async def test_a_file_of_another_type_is_415(alice: User, kind: str):
    response = await alice.http.post(f"{ME}/import", content=as_lines(task_line()), headers={"Content-Type": kind})
    assert response.status_code == 415


async def test_a_file_may_have_a_mebibyte(alice: User):
    record = task_line(description="x" * 10_000)
    many = as_lines(*({**record, "id": str(uuid7())} for _ in range(100)))
    assert (await put_back(alice, many)).json()["tasks"] == 100
    assert (await put_back(alice, many + b"\n" * (1024 * 1024 - len(many) + 1))).status_code == 413


async def test_an_export_says_what_it_speaks(alice: User):
    for accept, status in {"application/x-ndjson": 200, "*/*": 200, "application/json": 406, "text/csv": 406}.items():
        response = await alice.http.get(f"{ME}/export", headers={"Accept": accept})
        assert response.status_code == status, accept
    head = await alice.http.head(f"{ME}/export")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_task_that_is_put_elsewhere_meanwhile_is_in_the_export(
    database: Database, alice: User, bob: User, new_user: NewUser
):
    many = {"operations": [{"op": "create", "task": {"title": "x"}}] * 100}
    # Somebody whose clock is ahead.
    for _ in range(4):
        await bob.http.post(f"{TASKS}/batch", json=many)
    above, moved, below, kept = (str(uuid7()) for _ in range(4))
    for task_id, parent_id in [(above, None), (moved, above), (below, moved), (kept, above)]:
        await alice.create("x", id=task_id, parent_id=parent_id)
    for _ in range(3):
        await alice.http.post(f"{TASKS}/batch", json=many)
    pages = export(partial(database.session, Owner(alice.id), read_only=True), 2**62, KINDS)
    whole = await anext(pages)
    # The page of the topmost ones that would have it has been read.
    await alice.http.patch(f"{TASKS}/{moved}", json={"parent_id": None})
    await alice.http.patch(f"{TASKS}/{kept}", json={"title": "y"})
    # And this one was in the page that has been read.
    (last,) = [line["id"] for line in lines(whole) if line["type"] == "task"][-1:]
    made = (await alice.http.post("/api/v1/lists", json={"name": "New"})).json()
    await alice.http.patch(f"{TASKS}/{last}", json={"parent_id": kept, "list_id": made["id"]})
    await alice.http.patch(f"{TASKS}/{below}", json={"list_id": made["id"]})
    async for page in pages:
        whole += page
    ids = [line["id"] for line in lines(whole) if line["type"] == "task"]
    assert len(ids) == len(set(ids)) == lines(whole)[-1]["tasks"] == 304
    assert {above, moved, below, kept} <= set(ids)
    carol = await new_user("carol")
    report = (await put_back(carol, whole)).json()
    assert (report["lists"], report["tasks"]) == (1, 304)
    assert lines(whole)[-1]["lists"] == 1


async def test_an_export_takes_no_more_memory_for_more_tasks_than_their_ids(
    database: Database, superuser: Superuser, alice: User
):
    await alice.create()

    async def peak() -> tuple[int, int]:
        tracemalloc.start()
        size = 0
        async for page in export(partial(database.session, Owner(alice.id), read_only=True), 2**62, KINDS):
            size += len(page)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest, size

    async def add(count: int) -> None:
        rows = [(alice.id, uuid7(), f"Task {n}", f" task {n} ", n + 10) for n in range(count)]
        names = ["user_id", "id", "title", "folded_title", "version"]
        await superuser.execute("DELETE FROM taskward.task WHERE user_id = $1", alice.id)
        await superuser.copy_records_to_table("task", schema_name="taskward", records=rows, columns=names)
        await superuser.execute("UPDATE taskward.account SET clock = $2 WHERE user_id = $1", alice.id, count + 10)

    few, many = 5_000, sized(40_000, 100_000)
    await add(few)
    await peak()  # the statements are compiled
    small, small_size = await peak()
    await add(many)
    large, large_size = await peak()
    assert large_size > small_size * many / few * 0.9
    # An id has 16 bytes, and an array that grows has some to spare.
    assert large - small < 24 * (many - few)
    assert large < 5_000_000


async def test_a_page_has_no_more_bytes_than_a_page_has_room_for(database: Database, superuser: Superuser, alice: User):
    # Of each of these characters JSON makes six bytes.
    names = ["user_id", "id", "name", "version"]
    lists = [(alice.id, uuid7(), "\1" * 255, n + 1) for n in range(500)]
    await superuser.execute("INSERT INTO taskward.account (user_id, clock, lists) VALUES ($1, 2000, 500)", alice.id)
    await superuser.copy_records_to_table("list", schema_name="taskward", records=lists, columns=names)
    names = ["user_id", "id", "title", "folded_title", "description", "folded_description", "tags", "version"]
    texts = ["", "\1" * 10_000, "\N{GRINNING FACE}" * 10_000, "x" * 5_000]
    tags = [f"{n}" + "\1" * 48 for n in range(20)]
    tasks = [
        (alice.id, uuid7(), "\1" * 255, " x ", texts[n % 4], "x", tags if n % 3 else [], n + 501) for n in range(600)
    ]
    await superuser.copy_records_to_table("task", schema_name="taskward", records=tasks, columns=names)
    begin = partial(database.session, Owner(alice.id), read_only=True)
    pages = [page async for page in export(begin, 2**62, KINDS)]
    assert max(map(len, pages)) <= PAGE_BYTES
    # Nor much less, so that there are not many.
    assert sum(map(len, pages)) > 0.6 * PAGE_BYTES * len(pages)
    found = lines(b"".join(pages))
    assert [line["id"] for line in found[:-1]] == [str(row[1]) for row in [*lists, *tasks]]
    assert found[-1] == {"type": "end", "lists": 500, "tasks": 600}
    # One that is larger than a page goes alone.
    async with begin() as session:
        row = await session.fetch_one(export_changed(), after=0, rows=200, most=10)
        assert row is not None
        assert row["id"] == tasks[0][1]


async def test_an_export_asks_for_room_for_a_page_and_the_ids_of_all_tasks(
    database: Database, superuser: Superuser, alice: User
):
    await alice.create()
    begin = partial(database.session, Owner(alice.id), read_only=True)
    await superuser.execute("UPDATE taskward.account SET tasks = 50000 WHERE user_id = $1", alice.id)
    needed = PAGE_BYTES + 50_000 * 16 - TIGHT
    with pytest.raises(NeedsRoom) as refused:
        await anext(export(begin, needed - 1, KINDS))
    assert refused.value.size == needed
    assert await anext(export(begin, needed, KINDS))
