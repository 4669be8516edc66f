"""A file of another service is carried over once, with a report of what could not come along."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.databases import Superuser
from tests.users import User

TASKS = "/api/v1/tasks"
ME = "/api/v1/me"
LINES = {"Content-Type": "application/x-ndjson"}

TODOIST = b"""TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE
section,Shop,,,,,,,,
task,Buy milk @food,The blue one,1,1,Ann (1),Bob (2),2026-12-24,en,Europe/Berlin
task,Which one?,,4,2,,,,,
note,Ask Ann,,,,,,,,
"""
VIKUNJA = json.dumps(
    [
        {
            "id": 3, "title": "Garden", "hex_color": "00ff00",
            "tasks": [
                {"id": 7, "title": "Dig", "description": "<p>deep</p>", "priority": 3, "labels": [{"title": "out"}],
                 "due_date": "2026-12-24T10:00:00Z", "repeat_after": 86_400, "related_tasks": {"subtask": [{"id": 8}]}},
                {"id": 8, "title": "Find a spade", "done": True, "reminders": [{"reminder": "2026-12-24T09:00:00Z"}]},
            ],
        }
    ]
).encode()  # fmt: skip


@pytest.mark.parametrize(("format_", "file"), [("todoist", TODOIST), ("vikunja", VIKUNJA)])
async def test_another_services_file_is_carried_over_once(alice: User, bob: User, format_: str, file: bytes):
    params = {"format": format_, "tz": "Europe/Berlin"}
    headers = {"Content-Type": "application/octet-stream"}
    headers["Content-Type"] = "text/csv" if format_ == "todoist" else "application/json"
    report = (await alice.http.post(f"{ME}/import", params=params, content=file, headers=headers)).json()
    assert (report["lists"], report["tasks"], report["unchanged"]) == (1, 2, 0)
    assert report["losses_left_out"] == 0
    assert report["counts"]["task"] == {"kept": 2, "metadata": 0, "lost": 0}
    assert report["counts"]["assignee" if format_ == "todoist" else "reminder"]["metadata"] == 1
    assert all(set(loss) == {"line", "item", "what", "detail"} for loss in report["losses"])
    (made,) = (await alice.http.get("/api/v1/lists")).json()
    child, parent = (await alice.http.get(TASKS)).json()
    assert child["parent_id"] == parent["id"]
    assert {child["list_id"], parent["list_id"]} == {made["id"]}
    if format_ == "todoist":
        assert (parent["title"], parent["priority"], parent["due_date"]) == ("Buy milk", "urgent", "2026-12-24")
        assert "food" in parent["tags"]
        assert "Ask Ann" in child["description"]
    else:
        assert (made["name"], made["color"]) == ("Garden", "#00ff00")
        assert (parent["title"], parent["description"], parent["priority"]) == ("Dig", "deep", "high")
        assert (parent["due_at"], parent["time_zone"]) == ("2026-12-24T10:00:00.000000Z", "Europe/Berlin")
        assert parent["recurrence"].startswith("FREQ=DAILY")
        assert child["completed"] is True
    again = await alice.http.post(f"{ME}/import", params=params, content=file, headers=headers)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-imported")
    assert len((await alice.http.get(TASKS)).json()) == 2
    assert (await bob.http.post(f"{ME}/import", params=params, content=file, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("format_", "file"),
    [("todoist", b""), ("todoist", b"a,b\n1,2\n"), ("todoist", b"\xff"), ("vikunja", b"{}"), ("vikunja", b"[["),
     ("vikunja", TODOIST), ("todoist", VIKUNJA)],
)  # fmt: skip
async def test_a_file_that_is_no_such_export_is_refused(alice: User, format_: str, file: bytes):
    params, headers = {"format": format_}, {"Content-Type": "application/json"}
    response = await alice.http.post(f"{ME}/import", params=params, content=file, headers=headers)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [""]
    assert (await alice.http.get(ME)).json()["counts"]["lists"] == 0


async def test_what_an_import_is_asked_for_is_checked(alice: User):
    for params, name in [({"format": "csv"}, "/format"), ({"tz": "Mars/Base"}, "/tz"), ({"user_id": "x"}, "/user_id")]:
        response = await alice.http.post(f"{ME}/import", params=params, content=b"", headers=LINES)
        assert [error["pointer"] for error in response.json()["errors"]] == [name]


@pytest.mark.parametrize("kind", ["text/csv", "Text/CSV; charset=utf-8", "application/zip"])
async def test_a_file_that_no_export_of_ones_own_is_needs_a_format(alice: User, kind: str):
    response = await alice.http.post(f"{ME}/import", content=TODOIST, headers={"Content-Type": kind})
    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert (error["pointer"], "format=todoist" in error["detail"]) == ("/format", True)


async def test_a_format_that_is_not_known_is_told_all(alice: User):
    response = await alice.http.post(f"{ME}/import", params={"format": "csv"}, content=TODOIST, headers=LINES)
    [error] = response.json()["errors"]
    assert error["detail"] == "This must be one of 'taskward', 'todoist' or 'vikunja'."


async def test_what_repeats_in_todoist_begins_from_today_on_in_its_zone(alice: User, superuser: Superuser):
    rows = [
        b"TYPE,CONTENT,DATE,DATE_LANG",
        b"task,Stand up,every weekday at 9am,en",
        b"task,Pay rent,every! 1st,en",
        b"task,Look up,every full moon,en",
    ]
    params, headers = {"format": "todoist", "tz": "Pacific/Kiritimati"}, {"Content-Type": "text/csv"}
    before = await superuser.fetchval("SELECT now()")
    response = await alice.http.post(f"{ME}/import", params=params, content=b"\n".join(rows), headers=headers)
    after = await superuser.fetchval("SELECT now()")
    assert response.status_code == 200, response.text
    losses = [(loss["line"], loss["what"]) for loss in response.json()["losses"]]
    assert losses == [(2, "date"), (3, "date"), (4, "recurrence")]
    tasks = {task["title"]: task for task in (await alice.http.get(TASKS)).json()}
    moment = datetime.fromisoformat(tasks["Stand up"]["due_at"])
    assert before < moment <= after + timedelta(days=3)
    assert moment.astimezone(ZoneInfo("Pacific/Kiritimati")).hour == 9
    assert tasks["Stand up"]["recurrence"] == "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
    day = date.fromisoformat(tasks["Pay rent"]["due_date"])
    today = before.astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    assert (day.day, tasks["Pay rent"]["recurs_from"]) == (1, "completion")
    assert today <= day <= today + timedelta(days=32)
    assert tasks["Look up"]["metadata"] == {"todoist": {"date": "every full moon"}}
    completed = await alice.http.patch(f"{TASKS}/{tasks['Stand up']['id']}/complete", json={"completed": True})
    assert completed.status_code == 200, completed.text


async def test_the_list_of_a_todoist_file_is_called_as_asked(alice: User):
    params, headers = {"format": "todoist"}, {"Content-Type": "text/csv"}
    for name, expected in [(" Shopping ", "Shopping"), (None, "Todoist"), ("n" * 255, "n" * 255)]:
        asked = params if name is None else {**params, "name": name}
        file = f"TYPE,CONTENT\ntask,Buy {len(expected)}\n".encode()
        response = await alice.http.post(f"{ME}/import", params=asked, content=file, headers=headers)
        assert response.json()["losses"] == [], response.text
        assert (await alice.http.get("/api/v1/lists")).json()[-1]["name"] == expected


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("taskward", "x"),
        ("vikunja", "x"),
        ("todoist", ""),
        ("todoist", " "),
        ("todoist", "a\nb"),
        ("todoist", "n" * 256),
    ],
)
async def test_a_name_that_no_list_can_be_given_is_refused(alice: User, format_: str, name: str):
    params, headers = {"format": format_, "name": name}, {"Content-Type": "text/csv"}
    response = await alice.http.post(f"{ME}/import", params=params, content=TODOIST, headers=headers)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/name"
    assert ("format=todoist" in error["detail"]) == (format_ != "todoist")
    assert (await alice.http.get(ME)).json()["counts"]["lists"] == 0


UNKEPT = {
    "a day at the end of the calendar": ("todoist", b"TYPE,CONTENT,DATE\ntask,x,9999-12-31\n"),
    "a tag that no URL can name": ("todoist", b"TYPE,CONTENT\ntask,x @.. @home\n"),
    "a zone of the system's own": ("todoist", b"TYPE,CONTENT,DATE,TIMEZONE\ntask,x,2026-12-24 10:00,localtime\n"),
    "a moment before the calendar's second year": (
        "vikunja",
        b'[{"title":"P","tasks":[{"title":"x","due_date":"0001-12-24T10:00:00Z","repeat_after":86400}]}]',
    ),
    "a moment at the end of the calendar": (
        "vikunja",
        b'[{"title":"P","tasks":[{"title":"x","due_date":"9999-12-31T10:00:00Z","labels":[{"title":"."}]}]}]',
    ),
}


@pytest.mark.parametrize("kind", UNKEPT)
async def test_what_a_task_cannot_have_is_lost_and_the_task_is_kept(alice: User, kind: str):
    format_, file = UNKEPT[kind]
    headers = {"Content-Type": "text/csv" if format_ == "todoist" else "application/json"}
    response = await alice.http.post(f"{ME}/import", params={"format": format_}, content=file, headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["losses"]
    (task,) = (await alice.http.get(TASKS)).json()
    assert task["title"] == "x"
    assert task["recurrence"] is None
    assert task["tags"] == (["home"] if "tag" in kind else [])


async def test_a_rule_of_another_service_that_never_comes_true_is_lost_alone(alice: User):
    # Every 600 weeks: not once within ten years.
    task = {"id": 1, "title": "Rarely", "due_date": "2026-12-01T09:00:00Z", "repeat_after": 362_880_000}
    file = json.dumps([{"id": 1, "title": "Home", "tasks": [task, {"id": 2, "title": "Other"}]}])
    params, headers = {"format": "vikunja"}, {"Content-Type": "application/json"}
    answer = await alice.http.post(f"{ME}/import", params=params, content=file, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [(loss["item"], loss["what"]) for loss in answer.json()["losses"]] == [("Rarely", "recurrence")]
    rarely, other = (await alice.http.get(TASKS, params={"sort": "-title"})).json()
    assert (rarely["title"], rarely["recurrence"], rarely["due_at"] is None) == ("Rarely", None, False)
    assert other["title"] == "Other"


OLD_TASKS = [
    {"id": 1, "title": "Paint", "list_id": 1, "position": 131072, "reminder_dates": ["2021-09-01T08:00:00Z"]},
    {"id": 2, "title": "Sand", "list_id": 1, "position": 65536, "done": True, "done_at": "2021-09-03T19:42:30Z"},
]
# As Vikunja 0.18, 0.20 and 0.21 export, one after the other; then with the spaces that it has made projects of.
OLD_EXPORTS = {
    "lists in spaces": [{"id": 1, "title": "Space", "lists": [{"id": 1, "title": "Home", "tasks": OLD_TASKS}]}],
    "projects in spaces": [{"id": 1, "title": "Space", "projects": [{"id": 1, "title": "Home", "tasks": OLD_TASKS}]}],
    "projects below projects": [
        {"id": 1, "title": "Space"},
        {"id": 2, "title": "Home", "parent_project_id": 1, "tasks": OLD_TASKS},
    ],
    "projects in projects": [
        {"id": 1, "title": "Space", "child_projects": [{"id": 2, "title": "Home", "tasks": OLD_TASKS}]},
    ],
}


async def sent(user: User, file: object, **params: str) -> httpx2.Response:
    asked = {"format": "vikunja", **params}
    headers = {"Content-Type": "application/json"}
    return await user.http.post(f"{ME}/import", params=asked, content=json.dumps(file), headers=headers)


async def carried(user: User, file: object, **params: str) -> Any:
    """The report of an import from Vikunja."""
    answer = await sent(user, file, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def status_of(user: User, file: object, **params: str) -> int:
    return (await sent(user, file, **params)).status_code


@pytest.mark.parametrize("kind", OLD_EXPORTS)
async def test_exports_of_every_version_bring_their_tasks_in_their_order(alice: User, kind: str):
    report = await carried(alice, OLD_EXPORTS[kind])
    lists = (await alice.http.get("/api/v1/lists")).json()
    home = next(one for one in lists if one["name"] == "Space / Home")
    assert [one["name"] for one in lists if one is not home] == ([] if "spaces" in kind else ["Space"])
    assert report["tasks"] == 2
    tasks = (await alice.http.get(TASKS, params={"list_id": home["id"], "sort": "position"})).json()
    assert [task["title"] for task in tasks] == ["Sand", "Paint"]
    assert tasks[0]["completed_at"] == "2021-09-03T19:42:30.000000Z"
    assert tasks[1]["completed_at"] is None
    assert tasks[1]["metadata"]["vikunja"]["reminder_dates"] == ["2021-09-01T08:00:00Z"]


async def test_the_order_of_the_view_that_is_a_list_is_taken(alice: User):
    views = [{"id": 11, "view_kind": "kanban"}, {"id": 12, "view_kind": "list"}, {"id": 13, "view_kind": "gantt"}]
    places = {"a": (3, 1), "b": (1, 2), "c": (2, 3)}
    positions = [
        {"task_id": number, "project_view_id": view, "position": place}
        for number, (in_list, in_kanban) in enumerate(places.values(), start=1)
        for view, place in ((11, in_kanban), (12, in_list * 65536.5))
    ]
    # Between 0.23 and 0.24 these had the names that Go gives them.
    positions[1] = {"TaskID": 1, "ProjectViewID": 12, "Position": 3 * 65536.5}
    tasks = [{"id": number, "title": title, "position": 0} for number, title in enumerate(places, start=1)]
    bucket = {"id": 5, "title": "Doing", "project_view_id": 11}
    file = {"title": "P", "tasks": [*tasks, {"id": 9, "title": "last"}], "views": views, "positions": positions,
            "buckets": [bucket], "task_buckets": [{"bucket_id": 5, "task_id": 2, "project_view_id": 11}]}  # fmt: skip
    report = await carried(alice, [file])
    found = (await alice.http.get(TASKS, params={"sort": "position"})).json()
    assert [task["title"] for task in found] == ["b", "c", "a", "last"]
    assert found[0]["metadata"]["vikunja"]["bucket"] == "Doing"
    assert report["counts"]["position"] == {"kept": 3, "metadata": 0, "lost": 0}
    assert report["counts"]["bucket"] == {"kept": 0, "metadata": 1, "lost": 1}


async def test_parts_come_in_their_order_after_what_they_are_parts_of(alice: User):
    related = {"subtask": [{"id": 1, "title": "x", "tasks": [{}]}, {"id": 2}]}
    tasks = [
        {"id": 1, "title": "second", "position": 20},
        {"id": 2, "title": "first", "position": 10},
        {"id": 4, "title": "before", "position": 1},
        {"id": 3, "title": "whole", "position": 5, "related_tasks": related},
    ]
    await carried(alice, [{"title": "P", "tasks": tasks}])
    found = (await alice.http.get(TASKS, params={"sort": "position"})).json()
    titles = {task["id"]: task["title"] for task in found}
    assert [task["title"] for task in found if task["parent_id"] is None] == ["before", "whole"]
    parts = [task for task in found if task["parent_id"] is not None]
    assert [(task["title"], titles[task["parent_id"]]) for task in parts] == [("first", "whole"), ("second", "whole")]


LOST = {
    "nothing": ("vikunja", "[]"),
    "a space without projects": ("vikunja", '[{"title":"Space","projects":[]}]'),
    "favorites": ("vikunja", '[{"id":-1,"title":"Favorites","tasks":[]}]'),
    "tasks that are none": ("vikunja", '[{"title":"P","tasks":[1,null,"x"]}]'),
    "tasks in the trash": ("vikunja", '[{"title":"P","tasks":[{"title":"x","deleted_at":"2026-07-07T00:00:00Z"}]}]'),
    "tasks of a version to come": ("vikunja", '[{"title":"P","entries":[{"title":"x"}]}]'),
    "rows that are none": ("todoist", "TYPE,CONTENT\ntodo,Milk\n"),
}


@pytest.mark.parametrize("kind", LOST)
async def test_a_file_of_which_nothing_is_left_is_refused_and_not_remembered(alice: User, kind: str):
    format_, file = LOST[kind]
    params, headers = {"format": format_}, {"Content-Type": "application/json"}
    for _ in range(2):
        answer = await alice.http.post(f"{ME}/import", params=params, content=file, headers=headers)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert "nothing was imported" in error["detail"]
    assert (await alice.http.get(ME)).json()["counts"]["lists"] == 0


async def test_a_file_is_taken_again_when_nothing_of_it_is_left(alice: User):
    file = [{"title": "P", "tasks": [{"title": "a"}, {"title": "b"}]}]
    await carried(alice, file)
    (made,) = (await alice.http.get("/api/v1/lists")).json()
    first, second = (await alice.http.get(TASKS)).json()
    await alice.http.delete(f"{TASKS}/{first['id']}")
    assert await status_of(alice, file) == 409
    # A task is left, then the list.
    await alice.http.delete(f"/api/v1/lists/{made['id']}", params={"tasks": "keep"})
    assert await status_of(alice, file) == 409
    await alice.http.delete(f"{TASKS}/{second['id']}")
    assert (await carried(alice, file))["tasks"] == 2
    # What was brought the second time counts from now on.
    assert await status_of(alice, file) == 409
    (made,) = (await alice.http.get("/api/v1/lists")).json()
    await alice.http.delete(f"/api/v1/lists/{made['id']}", params={"tasks": "trash"})
    assert (await carried(alice, file))["tasks"] == 2


async def test_a_file_is_taken_again_when_something_else_is_made_of_it(alice: User):
    file = [{"title": "P", "tasks": [{"title": "a", "due_date": "2030-01-15T08:00:00Z"}]}]
    for zone in ("UTC", "Asia/Tokyo"):
        await carried(alice, file, tz=zone)
    assert {task["time_zone"] for task in (await alice.http.get(TASKS)).json()} == {"UTC", "Asia/Tokyo"}
    assert await status_of(alice, file, tz="Asia/Tokyo") == 409


async def test_what_one_has_left_of_a_file_does_not_keep_another_from_it(alice: User, bob: User):
    file = [{"title": "P", "tasks": [{"title": "a"}]}]
    await carried(alice, file)
    await carried(bob, file)
    (task,) = (await bob.http.get(TASKS)).json()
    (made,) = (await bob.http.get("/api/v1/lists")).json()
    assert task["id"] not in {one["id"] for one in (await alice.http.get(TASKS)).json()}
    # She has rows of the same ids as well.
    assert (await alice.http.post("/api/v1/lists", json={"id": made["id"], "name": "mine"})).status_code == 201
    assert (await alice.http.post(TASKS, json={"id": task["id"], "title": "mine"})).status_code == 201
    await bob.http.delete(f"/api/v1/lists/{made['id']}", params={"tasks": "trash"})
    assert (await carried(bob, file))["tasks"] == 1
    assert await status_of(bob, file) == 409
    assert await status_of(alice, file) == 409


async def test_losses_beyond_a_thousand_are_counted(alice: User):
    file = [{"title": "P", "tasks": [{"title": "a", "priority": 9} for _ in range(1_003)]}]
    report = await carried(alice, file)
    assert (len(report["losses"]), report["losses_left_out"]) == (1_000, 3)
    assert report["counts"]["priority"] == {"kept": 0, "metadata": 0, "lost": 1_003}
