"""How many lists an account has."""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func
from sqlmodel import select

from taskward.lists.table import TaskList
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.counts import Counts
from taskward.storage.scoping import OWNER
from taskward.storage.tables import columns


class ListCounts(BaseModel):
    """How many lists there are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lists": 2}]})

    lists: int


@cache
def _count() -> Statement:
    row = columns(TaskList)
    return compile_statement(select(func.count(row.id).label("lists")).where(row.user_id == OWNER))


COUNTS = Counts(ListCounts, _count)
