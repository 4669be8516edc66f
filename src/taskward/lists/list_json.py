"""A list as JSON: its members, declared once for PostgreSQL, which writes all lists and exports, and for the worker,
which writes single lists.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement

from taskward.lists.schemas import ListRead
from taskward.lists.table import TaskList
from taskward.storage import row_json
from taskward.storage.row_json import JsonMember, Plain, json_object, members_from
from taskward.storage.scoping import Constant
from taskward.storage.tables import columns


def json_of(source: Any, **counts: ColumnElement[Any]) -> ColumnElement[str]:
    """The JSON that clients read, by PostgreSQL, from the table's columns or a sub-query's.

    Args:
        counts: Further members.
    """
    return json_object({**_members(source), **counts})


def export_of(source: Any) -> ColumnElement[str]:
    """The line of an export."""
    return json_object({"type": Plain(Constant("list")), **_members(source)})


def _members(source: Any) -> dict[str, JsonMember]:
    members = members_from(ListRead, source)
    # Where nobody moved it, its id says where it stands.
    members["position"] = Plain(source.position, source.id)
    return members


_LIST = _members(columns(TaskList))
JSON_COLUMNS = row_json.json_columns(_LIST)
"""What is read of a list whose JSON the worker writes: the columns of the members."""
list_json = row_json.json_writer(_LIST)
"""Writes the JSON of a row that has `JSON_COLUMNS`."""
