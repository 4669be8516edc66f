"""One class declares what a resource has: what follows from it, and that each member keeps its type."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal, assert_type

import pytest
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Text

from taskward.kit.declaration import (
    Member,
    bare_type,
    declared,
    example_of,
    ignoring,
    members_of,
    partial,
    reading,
    row_of,
)
from taskward.lists.schemas import ListRead
from taskward.storage.row_json import Usual, members_from
from taskward.storage.tables import columns, table_of
from taskward.tasks import statements
from taskward.tasks.fields import TaskFields, TaskMembers
from taskward.tasks.row import TaskRow
from taskward.tasks.schemas import EXAMPLE, TaskCreate, TaskRead, TaskReplace, TaskUpdate
from taskward.tasks.table import Task

TITLE = {"title": "x"}


def test_each_schema_and_the_row_has_the_types_of_the_declaration():
    created, changed = TaskCreate.model_validate(TITLE), TaskUpdate.model_validate(TITLE)
    read = TaskRead.model_construct(None, **EXAMPLE)
    assert_type(created.title, str)
    assert_type(changed.title, str)
    assert_type(read.due_at, datetime | None)
    assert created.title == changed.title == "x"
    assert read.title == EXAMPLE["title"]

    # Only for the type checker: a row is never made by its class.
    def _row(row: Task) -> None:
        assert_type(row.tags, list[str])
        assert_type(row.title, str)


def test_a_row_without_a_member_has_its_default():
    for name, member in members_of(TaskFields).items():
        column = columns(Task)[name]
        if TaskFields.model_fields[name].is_required():
            assert (column.nullable, column.server_default) == (False, None)
        elif member.default is None:
            assert column.nullable
        else:
            assert not column.nullable
            assert column.server_default is not None


@declared
class Declared(BaseModel):
    name: Annotated[Annotated[str, StringConstraints(min_length=2)], Member("Its name.", "Box")]
    size: Annotated[Literal["small", "large"] | None, Member("Its size.", read="How large it is.", usual=True)] = None
    tags: Annotated[list[str], Member("Its tags.", ["a"])] = Field(default_factory=list)


def test_what_is_read_has_every_member_without_its_rules():
    @reading(("id", "name"), ("size", "weight"))
    class Read(Declared):
        id: Annotated[int, Member("Its id.", 1)]
        weight: Annotated[float, Member("Its weight.", 2.5)]

    assert list(Read.model_fields) == ["id", "name", "size", "weight", "tags"]
    assert all(field.is_required() for field in Read.model_fields.values())
    schema = Read.model_json_schema()
    assert schema["properties"]["name"] == {"type": "string", "title": "Name", "description": "Its name."}
    assert schema["properties"]["size"]["description"] == "How large it is."
    assert schema["examples"] == [{"id": 1, "name": "Box", "size": None, "weight": 2.5, "tags": ["a"]}]
    # The declaration is as it was.
    assert Declared.model_fields["tags"].get_default(call_default_factory=True) == []


def test_what_is_changed_may_be_any_part():
    @partial
    class Change(Declared):
        pass

    assert Change.model_validate({}).model_fields_set == set()
    with pytest.raises(ValueError, match="at least 2"):
        Change.model_validate({"name": "x"})
    with pytest.raises(ValueError, match="Field required"):
        Declared.model_validate({})


def test_a_row_in_memory_has_the_members_and_their_defaults():
    row = row_of(Declared)(name="Box")
    assert (row.name, row.size, row.tags) == ("Box", None, [])
    assert row_of(Declared)(name="Box").tags is not row.tags
    assert not hasattr(row, "__dict__")
    assert set(statements.WRITTEN) == {column.name for column in fields(TaskRow)}
    assert_type(TaskRow.new(title="x").due_at, datetime | None)


def test_a_truth_that_is_mostly_false_is_written_at_once():
    @reading(("completed",))
    class Read(BaseModel):
        completed: Annotated[bool, Member("Whether it is done.", usual=True, default=False)]

    usual = members_from(Read, columns(Task))["completed"]
    assert isinstance(usual, Usual)
    assert (str(usual.condition), usual.json) == ("NOT taskward.task.completed", "false")


def test_what_only_the_server_writes_is_taken_and_ignored():
    @reading(("id", "name"))
    class Read(Declared):
        id: Annotated[int, Member("Its id.")]

    @ignoring(Read)
    class Replace(Declared):
        pass

    assert Replace.model_validate({"name": "Box", "id": "whatever"}).name == "Box"
    assert Replace.model_json_schema()["properties"]["id"]["readOnly"] is True
    assert {"id", "version", "deleted_at"} <= TaskReplace.model_fields.keys()


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[str, 1], str),
        (Annotated[Annotated[str, 1] | None, 2], str | None),
        (list[Annotated[str, 1]], list[str]),
        (dict[str, Any], dict[str, Any]),
        (Literal["a"], Literal["a"]),
    ],
)
def test_a_type_without_its_rules(annotation: Any, expected: Any):
    assert bare_type(annotation) == expected


def test_a_type_that_has_no_column_is_refused():
    with pytest.raises(TypeError, match="no column"):

        @declared
        class _Wrong(BaseModel):
            name: Annotated[complex, Member("What no column holds.")]


def test_a_table_has_the_columns_of_what_it_declares():
    assert {"title", "color"}.isdisjoint(columns(Task).keys() - TaskFields.model_fields.keys())
    assert isinstance(columns(Task).title.type, Text)
    assert table_of(Task).schema == "taskward"


def test_examples_are_whole():
    assert list(example_of(TaskRead)) == list(TaskRead.model_fields)
    assert list(example_of(ListRead)) == list(ListRead.model_fields)
    assert TaskMembers.model_fields.keys() < TaskRead.model_fields.keys()
