"""Where a member of the task must be named, it is: table, rights, schemas, example, listings and documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql

from taskward.database.connections import Connection
from taskward.database.roles import GRANTS
from taskward.database.tables import OwnedTable, columns
from taskward.tasks.filters import TaskFilters
from taskward.tasks.models import EXAMPLE, TaskCreate, TaskRead, TaskReplace, TaskUpdate
from taskward.tasks.query import listing
from taskward.tasks.table import Task
from tests import asks, oracle
from tests.conftest import User

READABLE = list(TaskRead.model_fields)
CHANGEABLE = set(TaskUpdate.model_fields)
SET_BY_THE_SERVER = {"completed_at", "position", "version"}
# For each filter of a listing a value that is not its default.
FILTERS: dict[str, Any] = {
    "completed": "true", "priority": "high", "tag": ["home"], "list_id": "none", "parent_id": "none",
    "due_before": "2026-01-10", "due_after": "2026-01-10", "updated_since": "2026-01-10", "created_since": "2026-01-10",
    "overdue": "true", "tz": "Asia/Tokyo", "q": "milk", "deleted": "true", "sort": "title",
}  # fmt: skip
# Columns that no client sees, and what is written of them.
HIDDEN = {"next_id", "folded_title", "folded_description", "deleted_with"}
TABLES = OwnedTable.metadata.tables.values()


async def test_every_column_of_a_task_can_be_read_and_is_in_the_example(alice: User):
    assert set(columns(Task).keys()) == set(READABLE) | HIDDEN
    assert list(await alice.create("milk")) == READABLE
    assert list(EXAMPLE) == READABLE


def test_what_can_be_changed_can_be_set_at_creation_and_put_back():
    assert set(TaskCreate.model_fields) == CHANGEABLE | {"id"}
    assert set(TaskReplace.model_fields) == set(READABLE)


def test_the_rights_on_a_task_are_those_that_its_members_need():
    rights = {verb: set(names) for verb, names in GRANTS["task"].items()}
    assert rights == {
        "SELECT": set(READABLE) | HIDDEN,
        "INSERT": CHANGEABLE | HIDDEN | {"user_id", "id", "deleted_at"} | SET_BY_THE_SERVER,
        "UPDATE": CHANGEABLE | HIDDEN | {"updated_at", "deleted_at"} | SET_BY_THE_SERVER,
        "DELETE": set(),
    }


def test_the_state_machine_sends_every_member_and_every_filter_and_judges_them():
    assert set(asks.VALUES) == set(oracle.WRITABLE) == CHANGEABLE
    assert set(asks.FILTERED) == set(oracle.FILTERS) == set(FILTERS)


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
    assert GRANTS.keys() == {row["tablename"] for row in made}


@pytest.mark.parametrize(
    "name", [name for name in TaskFilters.model_fields if name not in {"limit", "cursor", "count"}]
)
async def test_a_filter_makes_another_listing_with_a_tag_and_cursors_of_its_own(alice: User, name: str):
    plain, filtered = listing(TaskFilters()), listing(TaskFilters.model_validate({name: FILTERS[name]}))
    # A zone alone says only what a day is.
    assert (filtered.statement.sql != plain.statement.sql) == (name != "tz")
    assert filtered.fingerprint != plain.fingerprint
    last = {"id": UUID((await alice.create())["id"]), "key_0": "milk"}
    assert filtered.next_cursor(last) != plain.next_cursor(last)
    response = await alice.http.get("/api/v1/tasks", params={name: FILTERS[name]})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("page", "names"), [("docs/api.md", READABLE), ("docs/listing.md", list(TaskFilters.model_fields))]
)
def test_every_member_and_every_filter_is_documented(page: str, names: list[str]):
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    cells = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(names) <= set(re.findall(r"`(\w+)`", cells))
