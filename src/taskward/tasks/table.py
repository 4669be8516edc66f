"""The table of tasks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Uuid,
    func,
    text,
)
from sqlmodel import Field

from taskward.storage.account_lock import AccountLock
from taskward.storage.tables import (
    AccountColumn,
    OwnedTable,
    account_column,
    owner_column,
    table_args,
    text_column,
    timestamp_column,
)
from taskward.tasks.fields import TaskFields

VERSIONS_OF_BLOCK = 1024
"""How many versions share a block (decision 0022)."""

TASK_COUNT: AccountColumn[int] = account_column("tasks", BigInteger(), default=0)
"""How many tasks an owner has, those in the trash included."""
TRASHED_AT: AccountColumn[datetime | None] = account_column("trashed_at", DateTime(), default=None, told=True)
"""No task of those that are in an owner's trash went there before."""


class Task(TaskFields, OwnedTable, table=True):
    """A task in the database: what clients write, and what is kept besides. The migrations hold its constraints and its
    row-level security.

    Attributes:
        series_id: What the occurrences of one series have in common; never NULL where there is a rule.
        next_id: The occurrence that was made when this one was completed.
        next_version: The version as which it and the copies of parts were made. As long as none of them has a later
            one, nobody has touched them.
        next_parts: How many copies of parts were made with it.
        moved_from: The former parent of this task, which recurs, if the next task of that parent took it over.
        meant_at: The local time that `due_at` means, where that does not show it; see `meant`.
        position: NULL where the task was never moved; then it is the id.
        folded_title, folded_description: For searching and sorting, as `search` folds them.
        version_block: In which block of `VERSIONS_OF_BLOCK` the version is, computed by PostgreSQL.
        deleted_with: The task with which this one went to the trash, which may be itself.
    """

    __tablename__ = "task"
    __table_args__ = table_args(
        ForeignKeyConstraint(["user_id", "list_id"], ["taskward.list.user_id", "taskward.list.id"], "task_list"),
        ForeignKeyConstraint(["user_id", "parent_id"], ["taskward.task.user_id", "taskward.task.id"], "task_parent"),
        probed=True,
    )

    user_id: str = owner_column()
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    meant_at: str | None = text_column(nullable=True)
    series_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    next_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    next_version: int | None = Field(default=None, sa_column=Column(BigInteger))
    next_parts: int | None = Field(default=None, sa_column=Column(BigInteger))
    moved_from: UUID | None = Field(default=None, sa_column=Column(Uuid))
    position: str | None = text_column(nullable=True, collation="C")
    # Text in here: JSON as it is stored is JSON as it is sent.
    metadata_: str = Field(
        default=None, sa_column=Column("metadata", JSON, nullable=False, server_default=text("'{}'"))
    )
    folded_title: str = text_column(collation="C")
    folded_description: str | None = text_column(nullable=True, collation="C")
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    version_block: int = Field(
        default=None, sa_column=Column(BigInteger, Computed(f"version / {VERSIONS_OF_BLOCK}"), nullable=False)
    )
    created_at: datetime = timestamp_column(default=func.now())
    updated_at: datetime = timestamp_column(default=func.now(), onupdate=func.now())
    deleted_at: datetime | None = timestamp_column(nullable=True)
    deleted_with: UUID | None = Field(default=None, sa_column=Column(Uuid))


def note_trash(lock: AccountLock, since: datetime) -> None:
    """Note that a task is in the trash since then."""
    first = lock[TRASHED_AT]
    lock[TRASHED_AT] = since if first is None else min(since, first)
