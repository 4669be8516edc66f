"""Reading what Vikunja exports: what a project and a task become, and what is lost."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskward.transfer.records import UnreadableExport
from tests.costs import allowed
from tests.foreign import (
    ANYTHING,
    EXAMPLES,
    TEXT,
    extras,
    fates,
    kinds,
    of_task,
    project,
    read_data,
    read_or_refuse,
    sound,
    vikunja,
)


@pytest.mark.parametrize(
    "data",
    [
        b"[1]",
        b"[{}] 1",
        b"[{},]",
        b"[{}{}]",
        b'[{"title" "a"}]',
        b"{",
        b"{}",
        b"null",
        b'"a"',
        b"[1, null]",
        b'[{"a": 1}]',
        b"[" * 100_000,
        b"[" + b"9" * 5000 + b"]",
    ],
)
def test_json_that_is_no_export_of_vikunja_is_refused(data: bytes):
    with pytest.raises(UnreadableExport, match=r"^[^\n]*\.$"):
        read_data(data)


def test_a_task_of_vikunja_becomes_a_record():
    task, reading = of_task(
        description='<p>See <a href="https://a.example/?x=1&amp;y=2">this</a></p>',
        done=True,
        priority=3,
        due_date="2026-11-26T09:30:00+01:00",
        labels=[{"id": 1, "title": "balcony"}, {"title": "balcony"}],
        reminders=None,
        related_tasks={},
    )
    assert reading.lists == [{"key": 0, "name": "Garden", "color": None}]
    assert task == {
        "key": "0",
        "title": "Water the plants",
        "description": "See this (https://a.example/?x=1&y=2)",
        "completed": True,
        "priority": "high",
        "tags": ["balcony"],
        "due_at": "2026-11-26T08:30:00Z",
        "time_zone": "Europe/Vienna",
        "list": 0,
        "metadata": {"vikunja": {"id": 7}},
    }
    assert not reading.losses


def own(**members: Any) -> dict[str, Any]:
    return {"metadata": {"vikunja": members}}


@pytest.mark.parametrize(
    ("members", "expected", "lost"),
    [
        ({"priority": 0}, {}, []),
        ({"priority": 1}, {"priority": "low"}, []),
        ({"priority": 2}, {"priority": "medium"}, []),
        ({"priority": 4}, {"priority": "urgent"}, []),
        ({"priority": 5}, {"priority": "urgent", **own(priority=5)}, []),
        ({"priority": 6}, {}, ["priority"]),
        ({"priority": -1}, {}, ["priority"]),
        ({"priority": 10**4000}, {}, ["priority"]),
        ({"priority": True}, {}, ["priority"]),
        ({"priority": "1"}, {}, ["priority"]),
        ({"done": 1}, {}, ["completed"]),
        ({"done": None}, {}, []),
        ({"title": None}, {}, ["title"]),
        ({"title": ["a"]}, {}, ["title"]),
        ({"title": "a\0b\ud800"}, {}, ["title"]),
        ({"description": {}}, {}, ["description"]),
        ({"description": " "}, {}, []),
        ({"description": "a\0\udfff"}, {"description": "a\ufffd\ufffd"}, ["description"]),
        ({"labels": "a"}, {}, ["tag"]),
        ({"labels": [1, None, {"title": "a"}]}, {"tags": ["a"]}, ["tag"]),
        ({"labels": [{"title": 1}, {"title": ""}, {}]}, {}, ["tag"]),
        (
            {"labels": [{"title": "a", "hex_color": "ff0000", "description": "b"}]},
            {"tags": ["a"]},
            ["color", "description"],
        ),
        ({"due_date": "0001-01-01T00:00:00Z"}, {}, []),
        ({"due_date": "26 Nov 2026"}, own(due_date="26 Nov 2026"), ["date"]),
        ({"due_date": "2026-02-30T00:00:00Z"}, own(due_date="2026-02-30T00:00:00Z"), ["date"]),
        ({"due_date": "9999-12-31T23:59:59-12:00"}, own(due_date="9999-12-31T23:59:59-12:00"), ["date"]),
        ({"due_date": "2026-11-26T00:00:00+::::"}, own(due_date="2026-11-26T00:00:00+::::"), ["date"]),
        ({"due_date": 5}, {}, ["date"]),
        ({"start_date": "2026-11-26T00:00:00Z"}, own(start_date="2026-11-26T00:00:00Z"), []),
        (
            {"end_date": "2026-11-26T00:00:00Z", "start_date": "0001-01-01T00:00:00Z"},
            own(end_date="2026-11-26T00:00:00Z"),
            [],
        ),
        (
            {"reminders": [{"reminder": "2026-11-26T00:00:00Z"}, {}]},
            own(reminders=[{"reminder": "2026-11-26T00:00:00Z"}]),
            ["reminder"],
        ),
        (
            {"reminders": [{"reminder": None, "relative_period": -3600, "relative_to": "due_date"}]},
            own(reminders=[{"relative_to": "due_date", "relative_period": -3600}]),
            [],
        ),
        ({"reminder_dates": ["2026-11-26T00:00:00Z"]}, own(reminder_dates=["2026-11-26T00:00:00Z"]), []),
        ({"reminder_dates": ["2026-11-26T00:00:00Z", 5]}, own(reminder_dates=["2026-11-26T00:00:00Z"]), ["reminder"]),
        ({"reminder_dates": ["a"] * 101}, own(reminder_dates=["a"] * 100), ["reminder"]),
        ({"percent_done": 0.5}, own(percent_done=0.5), []),
        ({"percent_done": float("nan")}, {}, ["progress"]),
        ({"percent_done": 0}, {}, []),
        ({"assignees": [{"id": 1}]}, {}, ["assignee"]),
        ({"assignees": [{"id": 1, "username": "ann", "name": "Ann"}]}, own(assignees=["Ann"]), []),
        (
            {"attachments": [{"id": 1, "file": {"id": 2, "name": "a.png", "mime": "", "size": 3}}]},
            own(attachments=[{"name": "a.png", "size": 3}]),
            ["file"],
        ),
        (
            {"attachments": [{"id": 1}], "cover_image_attachment_id": 1},
            own(cover_image_attachment_id=1),
            ["attachment", "file"],
        ),
        ({"attachments": 5}, {}, ["attachment"]),
        ({"attachments": True}, {}, ["attachment"]),
        ({"attachments": {"id": 1}}, {}, ["attachment"]),
        ({"comments": [{"comment": "<p>a</p>"}]}, {"description": "a"}, []),
        (
            {
                "description": "About it",
                "comments": [
                    {"comment": "a", "author": {"username": "ann"}, "created": "2026-11-26T00:00:00Z"},
                    {"comment": " ", "author": None},
                    {"comment": "b", "author": {"name": "Bob", "username": "bob"}, "created": "0001-01-01T00:00:00Z"},
                ],
            },
            {"description": "About it\n\nann, 2026-11-26T00:00:00Z:\na\n\nBob:\nb"},
            [],
        ),
        ({"comments": [{"comment": "c" * 10_001}]}, {}, ["comment"]),
        ({"comments": [{"comment": "c", "reactions": {"+": [1, 2]}}]}, {"description": "c"}, ["reaction"]),
        ({"comments": [5]}, {}, ["comment"]),
        ({"is_favorite": True}, own(is_favorite=True), []),
        (
            {"done": True, "done_at": "2026-11-25T09:00:00+01:00"},
            {"completed": True, "completed_at": datetime(2026, 11, 25, 8, tzinfo=UTC)},
            [],
        ),
        (
            {"done": True, "done_at": "2026-11-27T09:00:00Z"},
            {"completed": True, **own(done_at="2026-11-27T09:00:00Z")},
            [],
        ),
        ({"done": False, "done_at": "2026-11-25T09:00:00Z"}, own(done_at="2026-11-25T09:00:00Z"), []),
        ({"done": True, "done_at": "0001-01-01T00:00:00Z"}, {"completed": True}, []),
        ({"done": True, "done_at": 5}, {"completed": True}, ["completed"]),
        ({"subscription": {"id": 1}}, own(is_subscribed=True), []),
        ({"is_favorite": False}, {}, []),
        ({"hex_color": "ff0000"}, own(hex_color="ff0000"), []),
        ({"hex_color": ["ff0000"]}, {}, ["color"]),
        ({"reactions": {"+": [{"id": 1}]}, "bucket_id": 4}, own(reactions={"+": 1}, bucket=4), []),
        (
            {"created": "2026-11-26T00:00:00Z", "updated": "2026-11-26T00:00:00Z", "position": 1.5},
            own(created="2026-11-26T00:00:00Z", updated="2026-11-26T00:00:00Z"),
            [],
        ),
        (
            {"identifier": "#1", "index": 1, "created_by": {"id": 1, "username": "ann"}},
            own(created_by="ann", identifier="#1", index=1),
            [],
        ),
        ({"kanban_position": 2.5, "comment_count": 3}, own(kanban_position=2.5), []),
        ({"mood": "glad", "uid": ""}, {}, ["member"]),
        ({"related_tasks": []}, {}, ["relation"]),
        ({"related_tasks": {"blocking": [{"id": 7}], "subtask": None}}, own(relations={"blocking": [7]}), []),
        (
            {"related_tasks": {"subtask": [{"id": 99}], "parenttask": [{}]}},
            own(relations={"subtask": [99]}),
            ["relation", "relation"],
        ),
        ({"related_tasks": {"subtask": [None], "parenttask": 1}}, {}, ["relation", "relation"]),
        ({"related_tasks": {"subtask": [{"id": 7}]}}, {}, ["relation"]),
    ],
)
def test_members_of_a_task_of_vikunja(members: dict[str, Any], expected: dict[str, Any], lost: list[str]):
    task, reading = of_task(**members)
    assert extras(task) == expected
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("members", "recurrence", "recurs_from", "lost"),
    [
        ({"repeat_after": 86_400}, "FREQ=DAILY", None, []),
        ({"repeat_after": 3 * 86_400, "repeat_mode": 2}, "FREQ=DAILY;INTERVAL=3", "completion", []),
        ({"repeat_after": 7 * 86_400}, "FREQ=WEEKLY", None, []),
        ({"repeat_after": 14 * 86_400}, "FREQ=WEEKLY;INTERVAL=2", None, []),
        ({"repeat_after": 0, "repeat_mode": 1}, "FREQ=MONTHLY", None, []),
        ({"repeat_after": 0, "repeat_mode": 2}, None, None, []),
        ({"repeat_after": 3600}, None, None, ["recurrence"]),
        ({"repeat_after": -86_400}, None, None, ["recurrence"]),
        ({"repeat_after": 10**15 * 86_400}, None, None, ["recurrence"]),
        ({"repeat_after": 86_400, "repeat_mode": 3}, None, None, ["recurrence"]),
        ({"repeat_after": "daily"}, None, None, ["recurrence"]),
        ({"repeat_after": 86_400, "due_date": None}, None, None, ["recurrence"]),
    ],
)
def test_repetitions_of_vikunja(
    members: dict[str, Any], recurrence: str | None, recurs_from: str | None, lost: list[str]
):
    task, reading = of_task(**{"due_date": "2026-11-26T09:00:00Z"} | members)
    assert (task.get("recurrence"), task.get("recurs_from")) == (recurrence, recurs_from)
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("html", "text", "lost"),
    [
        ("a &amp; b < c\n  d", "a &amp; b < c\n  d", []),
        ("<p>a &amp;\n <strong>b</strong></p><p>c<br/>d</p>", "a & b\n\nc\nd", []),
        ("<h2>H</h2><ul><li><p>a</p></li><li>b</li></ul><p>c</p>", "H\n\n- a\n- b\n\nc", []),
        ('<ul><li data-checked="true"><p>a</p></li><li data-checked="false">b</li></ul>', "- [x] a\n- [ ] b", []),
        ('<a href="https://a.example">https://a.example</a> <a>b</a>', "https://a.example b", []),
        ('<a href="/1">one<a href="/2"></a>', "one (/1)/2", []),
        ('<img src="https://a.example/i.png" alt="Plan"><img>', "Plan (https://a.example/i.png)img", []),
        ('<iframe src="https://a.example/v"></iframe>', "iframe (https://a.example/v)", []),
        ('<p>a <img src="data:image/png;base64,AAAA"></p>', "a img", ["attachment"]),
        ('<p>Ask <mention-user data-id="ann"></mention-user></p>', "Ask @ann", []),
        ("<pre><code>if a:\n    b &lt; c\n</code></pre>", "if a:\n    b < c", []),
        ("<p>1 < 2 <bob@mail.example> <!-- c --> <![x[</p>", "1 < 2 <bob@mail.example> <!-- c --> <![x[", []),
        ("<script>a<b>c</b></script></li></pre>d", "ac\n\nd", []),
    ],
)
def test_html_becomes_text(html: str, text: str, lost: list[str]):
    task, reading = of_task(description=html)
    assert task["description"] == text
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("members", "expected", "lost"),
    [
        ({"hex_color": "1973FF"}, {"color": "#1973ff"}, []),
        ({"hex_color": "#1973ff"}, {"color": "#1973ff"}, []),
        ({"hex_color": "red"}, {}, ["color"]),
        ({"hex_color": 5}, {}, ["color"]),
        ({"title": None}, {"name": "Untitled"}, ["title"]),
        ({"title": "n" * 256}, {"name": "n" * 255}, ["title"]),
        ({"id": None}, {}, []),
        ({"id": [1]}, {}, []),
        ({"description": "About it"}, {}, ["description"]),
        ({"is_archived": True, "is_favorite": True}, {}, ["archived", "favorite"]),
        ({"buckets": [{"id": 1}], "views": [{"id": 1}]}, {}, ["bucket", "view"]),
        ({"background_information": {"type": "upload"}}, {}, ["attachment"]),
        ({"parent_project_id": 0}, {}, []),
        ({"parent_project_id": 9}, {}, ["relation"]),
        ({"parent_project_id": "1"}, {}, ["relation"]),
        ({"parent_project_id": 1}, {}, ["relation"]),
        ({"tasks": None}, {}, []),
        ({"tasks": 5}, {}, ["task"]),
        ({"tasks": [1, None, []]}, {}, ["task"]),
        ({"child_projects": 1}, {}, ["list"]),
    ],
)
def test_members_of_a_project(members: dict[str, Any], expected: dict[str, Any], lost: list[str]):
    reading = vikunja(project(**members))
    assert reading.lists == [{"key": 0, "name": "Garden", "color": None} | expected]
    assert kinds(reading) == lost


def test_what_is_no_project_among_projects_is_reported():
    favorites = {"id": -1, "title": "Favorites", "tasks": None}
    reading = vikunja(None, project(), favorites, [])
    assert [record["name"] for record in reading.lists] == ["Garden"]
    assert kinds(reading) == ["list", "filter"]


def test_nested_projects_are_lists_with_the_whole_path():
    reading = vikunja(
        {"id": 3, "title": "Roses", "parent_project_id": 2},
        {"id": 2, "title": "Beds", "parent_project_id": 1, "child_projects": [{"id": 4, "title": "Herbs"}, None]},
        {"id": 1, "title": "Garden"},
        {"id": 1, "title": "n" * 250, "child_projects": [{"title": "Long"}]},
    )
    assert [record["name"] for record in reading.lists] == [
        "Garden",
        "Garden / Beds",
        "Garden / Beds / Roses",
        "Garden / Beds / Herbs",
        "n" * 250,
        "n" * 250 + " / Lo",
    ]
    assert kinds(reading) == ["list", "title"]


def test_a_cycle_of_projects_is_broken():
    reading = vikunja(*({"id": n, "title": f"P{n}", "parent_project_id": n % 3 + 1} for n in (1, 2, 3)))
    assert [record["name"] for record in reading.lists] == ["P3", "P3 / P2", "P3 / P2 / P1"]
    assert [(loss.item, loss.what) for loss in reading.losses] == [("P3", "relation")]


def subtask(identifier: int, *children: int, **members: Any) -> dict[str, Any]:
    related = {"subtask": [{"id": child} for child in children]}
    return {"id": identifier, "title": f"T{identifier}", "related_tasks": related} | members


@pytest.mark.parametrize(
    ("tasks", "parents", "lost"),
    [
        ([subtask(1, 2), subtask(2, 3), subtask(3)], {1: None, 2: 1, 3: 2}, []),
        ([subtask(3), subtask(2, 3), subtask(1, 2)], {1: None, 2: 1, 3: 2}, []),
        ([subtask(1), subtask(2, related_tasks={"parenttask": [{"id": 1}]})], {1: None, 2: 1}, []),
        ([subtask(1, 2), subtask(2, related_tasks={"parenttask": [{"id": 1}]})], {1: None, 2: 1}, []),
        ([subtask(1, 3), subtask(2, 3, 3), subtask(3)], {1: None, 2: None, 3: 1}, []),
        ([subtask(1, 2), subtask(2, 3), subtask(3, 1)], {1: 3, 2: None, 3: 2}, ["relation"]),
        ([subtask(n, n + 1) for n in range(1, 10)] + [subtask(10)], {8: 7, 9: 7, 10: 7}, ["depth", "depth"]),
    ],
)
def test_subtasks_of_vikunja(tasks: list[Any], parents: dict[int, int | None], lost: list[str]):
    reading = vikunja(project(*tasks))
    numbers = {task["key"]: int(task["title"][1:]) for task in reading.tasks}
    found = {numbers[task["key"]]: numbers.get(task.get("parent", "")) for task in reading.tasks}
    assert len(found) == len(tasks)
    assert {n: found[n] for n in parents} == parents
    assert kinds(reading) == lost


def test_tasks_with_one_id_or_none_are_all_kept():
    reading = vikunja(project({"id": 1, "title": "a"}, {"id": 1, "title": "b"}, {"title": "c"}, {"id": True}))
    assert [task["title"] for task in reading.tasks] == ["a", "b", "c", "Untitled"]


def test_reports_about_everything_come_once():
    both = [subtask(n, created="2026-11-26T00:00:00Z", mood="glad") for n in (1, 2)]
    reading = vikunja(project(*both, owner={"id": 1}, created="2026-11-26T00:00:00Z"))
    assert [(loss.item, loss.what) for loss in reading.losses] == [("", "member"), ("", "author"), ("", "time")]
    assert fates(reading)["member"] == (0, 0, 2)
    assert fates(reading)["time"] == (0, 2, 1)


IDS = st.integers(0, 6) | ANYTHING

DATES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | TEXT

HTML = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<a href='x'>", "</a>", "<li>", "</li>", "<pre>", "<br", "<!", "&#0;", '"', ">", "a "]
    )
).map("".join)

RELATED = st.dictionaries(
    st.sampled_from(["subtask", "parenttask", "related"]),
    st.lists(st.fixed_dictionaries({"id": IDS}), max_size=4) | ANYTHING,
)

TASKS = st.fixed_dictionaries(
    {},
    optional={
        "id": IDS,
        "title": TEXT | ANYTHING,
        "description": HTML | ANYTHING,
        "done": ANYTHING,
        "due_date": DATES | ANYTHING,
        "repeat_after": st.sampled_from([0, 86_400, 604_800]) | ANYTHING,
        "repeat_mode": st.integers(0, 3) | ANYTHING,
        "priority": st.integers(-1, 6) | ANYTHING,
        "labels": st.lists(st.fixed_dictionaries({}, optional={"title": TEXT | ANYTHING}) | ANYTHING) | ANYTHING,
        "related_tasks": RELATED | ANYTHING,
        "comments": ANYTHING,
    },
)

PROJECTS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "id": IDS,
            "title": TEXT | ANYTHING,
            "parent_project_id": IDS,
            "hex_color": TEXT | ANYTHING,
            "tasks": st.lists(TASKS | ANYTHING, max_size=12) | ANYTHING,
        },
    ),
    lambda inner: st.fixed_dictionaries({"id": IDS, "child_projects": st.lists(inner | ANYTHING, max_size=3)}),
    max_leaves=4,
)


@EXAMPLES
@given(st.lists(PROJECTS | ANYTHING, max_size=5))
def test_any_json_becomes_sound_records(projects: list[Any]):
    read_or_refuse(read_data, json.dumps(projects).encode())


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40))
def test_any_relations_become_a_tree(pairs: list[tuple[int, int]]):
    tasks = [subtask(n, *(child for parent, child in pairs if parent == n)) for n in range(12)]
    assert len(vikunja(project(*tasks)).tasks) == 12


@pytest.mark.parametrize(
    "html", ["<a ", "<!--", "<script>", "<a href=x>", "<li>", "<a t='>", "<pre> ", "&#1", "</", "<p a='b'>", "<![x["]
)
def test_html_takes_time_in_proportion(html: str):
    data = json.dumps([project({"title": "a", "description": f"<p>b</p>{html * (500_000 // len(html))}"})]).encode()
    started = time.process_time()
    sound(read_data(data))
    assert time.process_time() - started < allowed(5)
