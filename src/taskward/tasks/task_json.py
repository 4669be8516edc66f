"""A task as JSON: its members, declared once for PostgreSQL, which writes pages and exports, and for the worker, which
writes single tasks.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func

from taskward.storage import row_json
from taskward.storage.row_json import JsonMember, Plain, json_object, members_from
from taskward.storage.scoping import Constant
from taskward.storage.tables import columns
from taskward.tasks.schemas import TaskRead
from taskward.tasks.table import Task

MEMBERS = tuple(TaskRead.model_fields)
_OF_EXPORTS = ("meant_at", "next_id", "moved_from", "deleted_with")
EXPORTED = (*MEMBERS, *_OF_EXPORTS)
"""The columns that `export_from` takes. An export has more than clients read: what it takes to make a task again."""

# Bytes of names, times, ids and tags in a task's JSON.
_SIZE_OF_THE_REST = 600


def json_of(source: Any) -> ColumnElement[str]:
    """The JSON that clients read, by PostgreSQL, from the table's columns or a sub-query's."""
    return json_object(_members(source))


def export_from(source: Any) -> tuple[ColumnElement[Any], ...]:
    """What is exported of a task: its `id`, its `version`, as `line` the JSON that clients read, with all that it takes
    to make the task again, and what says which form its rule has for others.
    """
    members: dict[str, JsonMember] = {"type": Plain(Constant("task")), **_members(source)}
    members |= {name: source[name] for name in _OF_EXPORTS}
    line = json_object(members).label("line")
    return source.id, source.version, line, source.recurrence, source.due_at, source.time_zone


def size_of(source: Any) -> ColumnElement[int]:
    """About how many bytes a task's JSON has; PostgreSQL knows without reading long texts."""
    texts = (source.title, source.description, cast(source.metadata, Text))
    title, description, metadata = (func.pg_catalog.octet_length(text) for text in texts)
    return title + func.coalesce(description, Constant(0)) + metadata + Constant(_SIZE_OF_THE_REST)


def _members(source: Any) -> dict[str, JsonMember]:
    members = members_from(TaskRead, source)
    # Where nobody moved it, its id says where it stands.
    members["position"] = Plain(source.position, source.id)
    return members


_TASK = _members(columns(Task))
JSON_COLUMNS = row_json.json_columns(_TASK)
"""What is read of a task whose JSON the worker writes: the columns of the members, before any others that a statement
yields, since `task_json` takes them by their order."""
task_json = row_json.json_writer(_TASK)
"""Writes the JSON of a row that has `JSON_COLUMNS`."""
