"""What a file of another service costs a worker of memory while it is imported: what is made of it waits on the disk.

Memory is measured of `taskward serve` as a process.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskward.app import create_app
from taskward.http.spooling import Spools
from taskward.transfer import record_file
from taskward.transfer.record_file import Records
from tests.clusters import Cluster
from tests.databases import Superuser
from tests.foreign import COLUMNS, EXAMPLES, TEXT
from tests.services import Service
from tests.serving import SECRET, make_settings, make_token, serving
from tests.sizes import sized
from tests.test_silent_readers import client, resident, watched
from tests.users import User

MEBI = 1024 * 1024
TYPES = {"vikunja": "application/json", "todoist": "text/csv"}


@pytest.fixture
def service(cluster: Cluster, template: str, tmp_path: Path) -> Iterator[Service]:
    data = tmp_path / "data"
    data.mkdir()
    settings = {"DATABASE_URL": cluster.url(template), "TASKWARD_JWT_SECRET": SECRET, "HOME": str(tmp_path)}
    # Several large files at once, on a machine that does other things, take longer than one does.
    settings["TASKWARD_REQUEST_TIMEOUT"] = "300"
    started = Service(data, settings=settings).ready()
    yield started
    started.end()


def vikunja_file(tasks: int) -> bytes:
    """A project as Vikunja writes it: of each task, most that it says is no member of ours."""
    user = {"id": 1, "name": "Alice Example", "username": "alice", "created": "2025-01-01T10:00:00Z"}
    made = [
        {
            "id": n, "title": f"Task {n} of the many that there are", "description": f"<p>{'About it. ' * 40}{n}</p>",
            "done": n % 3 == 0, "done_at": "2025-03-01T10:00:00Z" if n % 3 == 0 else "0001-01-01T00:00:00Z",
            "due_date": "2027-01-01T10:00:00Z", "labels": [{"id": 1, "title": f"label {n % 50}", "created_by": user}],
            "related_tasks": {"parenttask": [{"id": n - 1, "title": "x"}]} if n % 4 == 2 else {}, "index": n,
            "identifier": f"P-{n}", "created_by": user, "created": "2025-01-01T10:00:00Z", "percent_done": 0.5,
            "updated": "2025-01-01T10:00:00Z", "project_id": 1,
            "reminders": [{"reminder": "2026-12-24T09:00:00Z", "relative_to": "", "relative_period": 0}],
        }
        for n in range(1, tasks + 1)
    ]  # fmt: skip
    kinds = ("list", "gantt", "table", "kanban")
    views = [{"id": view, "title": kind, "project_id": 1, "view_kind": kind} for view, kind in enumerate(kinds)]
    places = [
        {"task_id": n, "project_view_id": view, "position": float(tasks - n)}
        for view in range(4)
        for n in range(1, tasks + 1)
    ]
    return json.dumps([{"id": 1, "title": "Many", "tasks": made, "views": views, "positions": places}]).encode()


def todoist_file(tasks: int) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="")
    writer.writeheader()
    for n in range(1, tasks + 1):
        writer.writerow(
            {
                "TYPE": "task", "CONTENT": f"Task {n} of the many that there are @label{n % 50}", "PRIORITY": "2",
                "DESCRIPTION": "About it. " * 80, "INDENT": str(1 + n % 3), "AUTHOR": "Alice (1)",
                "RESPONSIBLE": "Bob (2)", "DATE": "2027-01-01", "DATE_LANG": "en", "TIMEZONE": "Europe/Vienna",
            }
        )  # fmt: skip
        if n % 5 == 0:
            writer.writerow({"TYPE": "note", "CONTENT": "A note. " * 20, "AUTHOR": "Bob (2)"})
    return file.getvalue().encode()


FILES: dict[str, Callable[[int], bytes]] = {"vikunja": vikunja_file, "todoist": todoist_file}


def bring(service: Service, format_: str, tasks: int, content: bytes) -> None:
    with client(service, f"user-{os.urandom(6).hex()}") as http:
        http.timeout = 300
        headers = {"Content-Type": TYPES[format_]}
        answer = http.post("/api/v1/me/import", params={"format": format_}, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["tasks"] == tasks


@pytest.mark.processes
@pytest.mark.parametrize(("format_", "tasks"), [("vikunja", (6_000, 12_400)), ("todoist", (9_000, 17_500))])
def test_what_is_made_of_a_file_takes_little_memory(service: Service, format_: str, tasks: tuple[int, int]):
    count = sized(*tasks)
    small, content = FILES[format_](500), FILES[format_](count)
    for _ in range(3):
        bring(service, format_, 500, small)
    before = resident(service)
    with watched(service) as seen:
        bring(service, format_, count, content)
    assert max(seen) - before < sized(10, 15), max(seen) - before


@pytest.mark.processes
def test_several_files_at_once_take_little_memory(service: Service):
    count, tasks = sized(4, 8), sized(3_000, 12_400)
    for _ in range(3):
        bring(service, "vikunja", 500, vikunja_file(500))
    content = vikunja_file(tasks)
    before = resident(service)
    with watched(service) as seen, ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: bring(service, "vikunja", tasks, content), range(count)))
    assert max(seen) - before < sized(8, 12) * count, max(seen) - before


RECORDS = st.lists(st.fixed_dictionaries({"key": TEXT, "tags": st.lists(TEXT, max_size=2)}), max_size=9)


@EXAMPLES
@given(RECORDS, st.integers(1, 200), st.data())
def test_records_are_what_they_were_and_in_their_order(
    records: list[dict[str, Any]], at_once: int, data: st.DataObject
):
    with pytest.MonkeyPatch.context() as patch, closing(Spools(MEBI).open("alice")) as spool:
        patch.setattr(record_file, "_AT_ONCE", at_once)
        kept = Records(spool)
        numbers = [kept.keep(record, index) for index, record in enumerate(records)]
        order = data.draw(st.permutations(range(len(records))))
        expected = []
        for index in order:
            added = {"parent": records[0]["key"], "metadata": {"a": [1.5]}} if data.draw(st.booleans()) else None
            assert kept.kept(numbers[index]) == (records[index], index)
            kept.place(numbers[index], added)
            expected.append({**records[index], **(added or {})})
        assert list(kept) == expected
        assert len(kept) == len(expected)
        assert kept.has_tags == any(record["tags"] for record in records)
        assert kept.parents == {one["parent"] for one in expected if "parent" in one}


async def test_a_file_of_which_the_end_is_refused_leaves_nothing(alice: User):
    tasks = [
        {"id": n, "title": f"Task {n}", "labels": [{"title": f"label {n}-{tag}"} for tag in range(5)]}
        for n in range(500)
    ]
    content = json.dumps([{"id": 1, "title": "Many", "tasks": tasks}])
    params, headers = {"format": "vikunja"}, {"Content-Type": "application/json"}
    answer = await alice.http.post("/api/v1/me/import", params=params, content=content, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/limit-reached")
    counts = (await alice.http.get("/api/v1/me")).json()["counts"]
    assert (counts["tasks"], counts["lists"], counts["tags"]) == (0, 0, 0)


async def test_parts_hang_where_they_did_however_far_apart_they_are_written(alice: User, superuser: Superuser):
    tasks = [{"id": 1, "title": "Above", "related_tasks": {"subtask": [{"id": n} for n in range(2, 601, 9)]}}]
    tasks += [{"id": n, "title": f"Task {n}", "repeat_after": 86_400, "due_date": "2027-01-01T10:00:00Z"}
              for n in range(2, 602)]  # fmt: skip
    content = json.dumps([{"id": 1, "title": "Many", "tasks": tasks}])
    params, headers = {"format": "vikunja"}, {"Content-Type": "application/json"}
    answer = await alice.http.post("/api/v1/me/import", params=params, content=content, headers=headers, timeout=60)
    assert answer.json()["tasks"] == 601, answer.text
    columns = "id, title, parent_id, version, series_id"
    made = await superuser.fetch(f"SELECT {columns} FROM taskward.task WHERE user_id = $1 ORDER BY id", alice.id)
    (above,) = [one["id"] for one in made if one["title"] == "Above"]
    assert {one["title"] for one in made if one["parent_id"] == above} == {f"Task {n}" for n in range(2, 601, 9)}
    versions = [one["version"] for one in made]
    assert versions == list(range(versions[0], versions[0] + 601))
    assert len({one["series_id"] for one in made} - {None}) == 600


async def test_what_finds_no_room_on_the_disk_is_not_imported(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template)))
    app.state.spools_of_records = Spools(100_000, of_one=1)
    token = make_token(f"user-{os.urandom(6).hex()}")
    with serving(app) as url:
        async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            for tasks, status in [(1_000, 503), (100, 200), (1_000, 503), (101, 200)]:
                params, headers = {"format": "vikunja"}, {"Content-Type": "application/json"}
                answer = await http.post(
                    "/api/v1/me/import", params=params, content=vikunja_file(tasks), headers=headers
                )
                assert answer.status_code == status, answer.text
            assert not app.state.spools_of_records.used
            assert (await http.get("/api/v1/me")).json()["counts"]["tasks"] == 201
