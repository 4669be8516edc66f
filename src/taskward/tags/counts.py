"""How many tags an account has."""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Text, func
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.counts import Counts
from taskward.storage.scoping import OWNER
from taskward.storage.tables import columns
from taskward.tasks.table import Task


class TagCounts(BaseModel):
    """How many tags there are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": 4}]})

    tags: int = Field(description="Different tags, those of tasks in the trash included.")


@cache
def _count() -> Statement:
    task = columns(Task)
    each = select(func.unnest(task.tags, type_=Text()).label("tag")).where(task.user_id == OWNER)
    used = each.distinct().subquery("used")
    return compile_statement(select(func.count(used.c.tag).label("tags")).where(OWNER.is_not(None)))


COUNTS = Counts(TagCounts, _count)
