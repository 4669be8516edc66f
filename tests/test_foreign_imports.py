"""A file of another service is carried over once, with a report of what could not come along."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Superuser, User

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
    assert report["losses"]
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
    assert tasks["Look up"]["metadata"] == {"todoist_date": "every full moon"}
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
