"""Who names a parameter or a member as another API does is told the name here."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from taskward.kit.suggestions import suggestion
from taskward.runtime.spelling import nearest
from taskward.tasks.filters import TaskFilters
from tests.costs import allowed
from tests.users import User

TASKS = "/api/v1/tasks"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("status", "completed"), ("search", "q"), ("order", "sort"), ("sort_by", "sort"), ("sortBy", "sort"),
        ("offset", "cursor"), ("page", "cursor"), ("per_page", "limit"), ("pageSize", "limit"),
        ("dueBefore", "due_before"),
        ("listId", "list_id"), ("priorty", "priority"), ("timezone", "tz"), ("due_date", "due_on"), ("tags", "tag"),
        ("orderby", "sort"), ("sortby", "sort"), ("ORDER_BY", "sort"), ("pagesize", "limit"), ("page_size", "limit"),
        ("perpage", "limit"), ("page-size", "limit"), ("limt", "limit"), ("statsu", "completed"), ("titel", "q"),
        ("title", "q"), ("serach", "q"), ("ofset", "cursor"), ("dueafter", "due_after"), ("overdeu", "overdue"),
        ("Completed", "completed"), ("updatedAfter", "updated_since"), ("trashed", "deleted"), ("taag", "tag"),
    ],
)  # fmt: skip
async def test_a_parameter_that_is_not_known_is_told_the_nearest(alice: User, name: str, meant: str):
    answer = await alice.http.get(TASKS, params={name: "a-value-of-mine"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"in": "query", "pointer": f"/{name}", "detail": f"This parameter is not known. Did you mean {meant}?"}
    ]
    assert "a-value-of-mine" not in answer.text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("dueDate", "due_date"), ("due", "due_date"), ("due-at", "due_at"), ("status", "completed"),
        ("done", "completed"),
        ("isCompleted", "completed"), ("name", "title"), ("text", "title"), ("tittle", "title"),
        ("notes", "description"),
        ("listId", "list_id"), ("labels", "tags"), ("timeZone", "time_zone"), ("timezone", "time_zone"),
        ("parentId", "parent_id"), ("rrule", "recurrence"), ("titel", "title"), ("Title", "title"),
        ("statsu", "completed"), ("desciption", "description"), ("duedate", "due_date"), ("dueAt", "due_at"),
        ("priortiy", "priority"), ("tag", "tags"), ("isdone", "completed"),
    ],
)  # fmt: skip
async def test_a_member_that_is_not_known_is_told_the_nearest(alice: User, name: str, meant: str):
    expected = f"This is not known, or cannot be written. Did you mean {meant}?"
    task = {"title": "x", name: "a-value-of-mine"}
    answer = await alice.http.post(TASKS, json=task)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"in": "body", "pointer": f"/{name}", "detail": expected}]
    assert "a-value-of-mine" not in answer.text
    # Wherever it stands: in an item of an array, by itself or among so many that they are read one by one.
    for number in (0, 80):
        operations: list[Any] = [{"op": "create", "task": {"title": "x"}}] * number
        batch = {"operations": [*operations, {"op": "create", "task": task}]}
        answer = await alice.http.post(f"{TASKS}/batch", json=batch)
        found = [(error["pointer"], error["detail"]) for error in answer.json()["errors"]]
        assert found == [(f"/operations/{number}/task/{name}", expected)]


async def test_a_member_of_another_place_is_not_named(alice: User):
    made = await alice.http.post("/api/v1/lists", json={"due_at": "x"})
    assert {error["detail"] for error in made.json()["errors"]} == {
        "This is required.", "This is not known, or cannot be written.",
    }  # fmt: skip
    made = await alice.http.post("/api/v1/lists", json={"title": "x"})
    assert made.json()["errors"][-1]["detail"].endswith("Did you mean name?")
    task = await alice.create()
    for name in ("created_at", "user_id", "version", "position", "deleted_at", "x", "owner", "é" * 500):
        answer = await alice.http.patch(f"{TASKS}/{task['id']}", content=json.dumps({name: 1}), headers=JSON)
        assert [error["detail"] for error in answer.json()["errors"]] == ["This is not known, or cannot be written."]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("sort", "due_date", "due"), ("sort", "-due_date", "-due"), ("sort", "dueAt", "due"),
        ("sort", "-titel", "-title"),
        ("sort", "created_at:desc", "-created_at"), ("sort", "priority desc", "-priority"),
        ("sort", "title_asc", "title"),
        ("sort", "-created", "-created_at"), ("sort", "title,Due", "due"),
        ("sort", "+due", "due"), ("sort", "name", "title"),
        ("priority", "High", "high"), ("priority", "high,urgnet", "urgent"), ("priority", "critical", "urgent"),
        ("priority", "med", "medium"), ("tz", "europe/berlin", "Europe/Berlin"), ("tz", "Berlin", "Europe/Berlin"),
        ("due", "None", "none"), ("tz", "New York", "America/New_York"),
    ],
)  # fmt: skip
async def test_a_parameter_of_few_values_is_told_the_nearest(alice: User, name: str, value: str, meant: str):
    answer = await alice.http.get(TASKS, params={name: value})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == f"/{name}"
    assert error["detail"].startswith("This must be ")
    assert error["detail"].endswith(f". Did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("priority", "High", "high"), ("priority", "hihg", "high"), ("priority", "normal", "medium"),
        ("priority", "Critical", "urgent"), ("recurs_from", "completed", "completion"), ("time_zone", "utc", "UTC"),
    ],
)  # fmt: skip
async def test_a_member_of_few_values_is_told_the_nearest(alice: User, name: str, value: str, meant: str):
    task = {"title": "x", name: value}
    answer = await alice.http.post(TASKS, json=task)
    assert answer.status_code == 422
    details = [error["detail"] for error in answer.json()["errors"] if error["pointer"] == f"/{name}"]
    assert [detail.endswith(f". Did you mean {meant}?") for detail in details] == [True]
    for number in (0, 80):
        operations: list[Any] = [{"op": "create", "task": {"title": "x"}}] * number
        batch = {"operations": [*operations, {"op": "create", "task": task}]}
        answer = await alice.http.post(f"{TASKS}/batch", json=batch)
        assert details[0] in {error["detail"] for error in answer.json()["errors"]}


async def test_an_operation_and_other_words_are_told_the_nearest(alice: User):
    for number in (0, 80):
        for op, meant in [("add", "create"), ("CREATE", "create"), ("remove", "delete"), ("compelte", "complete")]:
            operations: list[Any] = [{"op": "create", "task": {"title": "x"}}] * number
            answer = await alice.http.post(f"{TASKS}/batch", json={"operations": [*operations, {"op": op}]})
            (error,) = answer.json()["errors"]
            assert error["detail"].endswith(f"or restore. Did you mean {meant}?")
    lines = {"Content-Type": "application/x-ndjson"}
    answer = await alice.http.post("/api/v1/me/import", content='{"type":"Tasks"}', headers=lines)
    assert answer.json()["errors"][0]["detail"] == "This must have a type: list, task or end. Did you mean task?"
    answer = await alice.http.post("/api/v1/me/import?format=todoits", content="x", headers=lines)
    assert answer.json()["errors"][0]["detail"].endswith("'vikunja'. Did you mean todoist?")


async def test_what_is_like_no_word_is_told_none_and_never_repeated(alice: User):
    for name, value in [("sort", "secret-of-mine"), ("priority", "secret-of-mine"), ("tz", "secret-of-mine")]:
        answer = await alice.http.get(TASKS, params={name: value})
        assert "Did you mean" not in answer.text
        assert "secret" not in answer.text
    priorities: list[Any] = ["secret-of-mine", "x" * 100_000, 7, None, ["high"], {"high": 1}]
    for value in priorities:
        answer = await alice.http.post(TASKS, json={"title": "x", "priority": value})
        assert answer.status_code == 422
        assert "Did you mean" not in answer.text
        assert "secret" not in answer.text
    operations: list[Any] = [7, None, ["create"], {"op": "create"}, "secret-of-mine"]
    for value in operations:
        answer = await alice.http.post(f"{TASKS}/batch", json={"operations": [{"op": value}]})
        assert answer.status_code == 422
        assert "Did you mean" not in answer.text
        assert "secret" not in answer.text


async def test_a_parameter_that_is_missing_is_told_what_to_send(alice: User):
    for path, pointer, sentence in [
        (TASKS, "/deleted", "true, since the trash is meant and not every task: nothing else is emptied."),
        ("/api/v1/me", "/confirm", "your user id, as GET /me has it, so that nobody does this by accident."),
    ]:
        answer = await alice.http.delete(path)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"in": "query", "pointer": pointer, "detail": f"This is required: {sentence}"}
        ]


def test_other_spellings_are_seen_through():
    for name in ("dueDate", "due-date", "Due Date", "due_date", "DueDate", "DUEDATE", "duedate", "deu_date", "dueDaet"):
        assert nearest(name, ("due_at", "due_date", "created_at")) == "due_date"
    for name in ("x", "zone", "metadata", ""):
        assert nearest(name, ("due_at", "due_date", "created_at")) is None
    assert nearest("x" * 500, ["x" * 499]) is None


def test_names_cost_little_however_many_are_wrong():
    known = TaskFilters.model_fields
    names = [f"{'a_b_c_d_e_i_l_m_o_p_r_s_t_u_'[: 28 - n % 3]}{n}" for n in range(20)]
    began = time.process_time()
    for name in names:
        suggestion(name, known)
    assert time.process_time() - began < allowed(0.1)
