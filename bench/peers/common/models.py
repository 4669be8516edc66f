"""The task: its table and what goes in and out."""

import uuid
from datetime import datetime

from sqlalchemy import DateTime, Index, func
from sqlmodel import Field, SQLModel


class TaskBase(SQLModel):
    """What a client may write."""

    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=10_000)


class Task(TaskBase, table=True):
    """A row."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_user_id_created_at", "user_id", "created_at"), {"schema": "common"})

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    user_id: str = Field(max_length=255)
    completed: bool = Field(default=False)
    created_at: datetime | None = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now(), "nullable": False},
    )
    updated_at: datetime | None = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now(), "onupdate": func.now(), "nullable": False},
    )


class TaskCreate(TaskBase):
    """The body of a create."""


class TaskUpdate(SQLModel):
    """The body of a patch."""

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=10_000)


class TaskPublic(TaskBase):
    """A task as it is answered."""

    id: uuid.UUID
    user_id: str
    completed: bool
    created_at: datetime
    updated_at: datetime
