"""Where a member of the task must be named, it is: table, rights, schemas, example, listings and documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from taskward.lists import schemas as list_models
from taskward.lists.schemas import ListCreate, ListRead, ListUpdate
from taskward.lists.table import TaskList
from taskward.storage.pool import Connection
from taskward.storage.tables import OwnedTable, columns, rights, table_of
from taskward.tasks import query
from taskward.tasks import schemas as task_models
from taskward.tasks.filters import TaskFilters
from taskward.tasks.parameters import SORTS
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate, TaskRead, TaskReplace, TaskUpdate
from taskward.tasks.table import Task
from tests import reference_listing, reference_tasks, requests_bad, requests_values, task_values
from tests.users import User

PAGES = Path(__file__).parents[1] / "docs"
# What a table has besides what clients read of it: what the server finds tasks by, and what it remembers of them.
OF_THE_SERVER = {
    *("folded_title", "folded_description", "deleted_with"),
    *("next_id", "next_version", "next_parts", "moved_from", "meant_at"),
}
# What PostgreSQL computes from another column, so that nobody may write it.
COMPUTED = {"version_block"}
# Taken from the owner's clock in the statement that writes the row.
TIMES = {"created_at", "updated_at"}
# For each filter of a listing a value that is not its default, and another one.
PAIRS: dict[str, tuple[Any, Any]] = {
    name: (values.good[0], values.good[1]) for name, values in task_values.FILTERS.items() if len(values.good) > 1
}
FILTERS: dict[str, Any] = {name: values.good[0] for name, values in task_values.FILTERS.items() if values.good}
SEVERAL = {"tag", "tag_any"}
# A zone says what the others mean, and by itself nothing; what is counted is the same listing.
ALONE_THE_SAME = {"tz", "count"}
TABLES = OwnedTable.metadata.tables.values()


@dataclass(frozen=True)
class Resource:
    """A resource of the API, and where its members must be named.

    Attributes:
        table: Its columns.
        of_the_server: Columns that no client reads.
        written_by_the_server: Columns that the server writes besides what clients send, when a row is made and changed.
    """

    table: type[SQLModel]
    create: type[BaseModel]
    update: type[BaseModel]
    read: type[BaseModel]
    example: dict[str, Any]
    of_the_server: set[str]
    written_by_the_server: set[str]

    @property
    def name(self) -> str:
        return table_of(self.table).name

    @property
    def readable(self) -> list[str]:
        return list(self.read.model_fields)

    @property
    def changeable(self) -> set[str]:
        return set(self.update.model_fields)


TASK = Resource(
    Task, TaskCreate, TaskUpdate, TaskRead, task_models.EXAMPLE, OF_THE_SERVER | COMPUTED,
    OF_THE_SERVER | {"position", "series_id", "version", "deleted_at"},
)  # fmt: skip
LIST = Resource(
    TaskList, ListCreate, ListUpdate, ListRead, list_models.EXAMPLE, set(), {"position", "version"}
)  # fmt: skip
RESOURCES = pytest.mark.parametrize("resource", [TASK, LIST], ids=lambda resource: resource.name)


@RESOURCES
async def test_every_column_can_be_read_but_those_of_the_server_and_is_in_the_example(alice: User, resource: Resource):
    assert set(columns(resource.table).keys()) == {*resource.readable, *resource.of_the_server}
    path, body = ("lists", {"name": "x"}) if resource is LIST else ("tasks", {"title": "x"})
    made = await alice.http.post(f"/api/v1/{path}", json=body)
    assert list(made.json()) == resource.readable
    assert list(resource.example) == resource.readable


@RESOURCES
def test_what_can_be_changed_can_be_set_at_creation(resource: Resource):
    assert set(resource.create.model_fields) == resource.changeable | {"id"}


def test_a_task_can_be_put_back_as_it_was_read():
    assert set(TaskReplace.model_fields) == set(TASK.readable)


@RESOURCES
def test_the_rights_on_a_table_are_those_that_its_members_need(resource: Resource):
    given = {verb: set(names) for verb, names in rights()[resource.name].items()}
    written = resource.changeable | resource.written_by_the_server
    assert given == {
        "SELECT": {*resource.readable, *resource.of_the_server},
        "INSERT": written | {"user_id", "id"} | TIMES,
        "UPDATE": written | {"updated_at"},
        "DELETE": set(),
    }


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_no_right_is_given_to_what_is_not_there_and_none_to_change_a_key(table: Any):
    names = set(table.columns.keys())
    given = rights()[table.name]
    assert {"SELECT", "INSERT", "DELETE"} <= given.keys() <= {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert set(given["SELECT"]) == names
    made_by_defaults = {"epoch", "changed_at"} if names >= TIMES else {"epoch", "changed_at", "created_at"}
    assert set(given["INSERT"]) <= names - made_by_defaults
    assert "user_id" in given["INSERT"]
    keys = {column.name for column in table.primary_key}
    assert not set(given.get("UPDATE", ())) & (keys | {"user_id", "id", "created_at", "epoch"})
    assert given["DELETE"] == ()  # a whole row, and of no column


def test_the_state_machine_sends_every_member_and_every_filter_and_judges_them():
    assert set(requests_values.VALUES) == set(reference_tasks.WRITABLE) == TASK.changeable
    assert set(requests_values.FILTERED) | {"sort", "tz"} >= set(FILTERS)
    assert set(reference_listing.FILTERS) | {"sort", "tz"} >= set(FILTERS)
    assert set(reference_listing.SORTS) >= set(SORTS) - {"id"}
    assert set(requests_bad.BAD) >= TASK.changeable
    assert set(requests_bad.BAD_FILTERS) == set(TaskFilters.model_fields)


def test_every_filter_and_every_sort_is_tried_here():
    assert FILTERS.keys() == TaskFilters.model_fields.keys() - {"limit", "cursor", "count"}
    assert set(query._SORTS) == set(SORTS) - {"id"}


_COLUMNS = """
SELECT a.attname, upper(format_type(a.atttypid, a.atttypmod)), NOT a.attnotnull, a.atthasdef
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
"""


@pytest.mark.parametrize("table", TABLES, ids=str)
async def test_the_migrations_make_the_tables_that_the_code_knows(superuser: Connection, table: Any):
    made = {tuple(row) for row in await superuser.fetch(_COLUMNS, str(table))}
    known = {
        (column.name, re.sub(" COLLATE .*", "", column.type.compile(postgresql.dialect())), column.nullable,
         column.server_default is not None)
        for column in table.columns
    }  # fmt: skip
    assert made == known


async def test_the_migrations_make_no_other_tables(superuser: Connection):
    made = await superuser.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'taskward'")
    assert {row["tablename"] for row in made} == {table.name for table in TABLES} | {"alembic_version"}
    assert rights().keys() == {row["tablename"] for row in made}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_makes_another_listing_with_a_tag_and_cursors_of_its_own(alice: User, name: str):
    given = {name: [FILTERS[name]] if name in SEVERAL else FILTERS[name]}
    plain, filtered = listing(TaskFilters()), listing(TaskFilters.model_validate(given))
    assert (filtered.statement.sql != plain.statement.sql) is (name not in ALONE_THE_SAME)
    assert filtered.fingerprint != plain.fingerprint
    last = UUID((await alice.create())["id"])
    assert filtered.next_cursor(last) != plain.next_cursor(last)
    response = await alice.http.get("/api/v1/tasks", params={name: FILTERS[name]})
    assert response.status_code == 200


@pytest.mark.parametrize("name", PAIRS)
def test_another_value_of_a_filter_is_another_listing_by_the_same_statement(name: str):
    pair = [listing(TaskFilters.model_validate({name: [value] if name in SEVERAL else value})) for value in PAIRS[name]]
    assert pair[0].fingerprint != pair[1].fingerprint
    # Their statement is compiled for whether they are asked, and for those that have but two values, for which.
    of_its_own = {"completed", "deleted", "overdue", "sort"}
    assert (pair[0].statement is pair[1].statement) is (name not in of_its_own)


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_makes_another_listing_up_and_down(sort: str):
    found = [listing(TaskFilters.model_validate({"sort": f"{down}{sort}"})) for down in ("", "-")]
    assert len({one.statement.sql for one in found}) == len({one.fingerprint for one in found}) == 2


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("api.md", TASK.readable),
        ("lists.md", LIST.readable),
        ("listing.md", list(TaskFilters.model_fields)),
        ("listing.md", list(SORTS)),
    ],
)
def test_every_member_every_filter_and_every_sort_is_documented(page: str, names: list[str]):
    text = (PAGES / page).read_text(encoding="utf-8")
    cells = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(names) <= set(re.findall(r"`(\w+)`", cells))
