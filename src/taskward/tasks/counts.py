"""How many tasks an account has, by their state."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, case, func
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.counts import Counts
from taskward.storage.scoping import OWNER
from taskward.storage.tables import columns
from taskward.tasks.table import Task


class TaskCounts(BaseModel):
    """How many tasks there are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tasks": 12, "open": 9, "completed": 3, "trash": 1}]})

    tasks: int = Field(description="Live tasks.")
    open: int
    completed: int
    trash: int = Field(description="Tasks in the trash.")


@cache
def _count() -> Statement:
    task = columns(Task)
    live = task.deleted_at.is_(None)

    def counted(condition: ColumnElement[bool], name: str) -> Any:
        return func.count(case((condition, task.id))).label(name)

    return compile_statement(
        select(
            counted(live, "tasks"),
            counted(and_(live, ~task.completed), "open"),
            counted(and_(live, task.completed), "completed"),
            counted(~live, "trash"),
        ).where(task.user_id == OWNER)
    )


COUNTS = Counts(TaskCounts, _count)
