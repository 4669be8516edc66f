"""The task: its table and what goes in and out."""

import uuid
from datetime import datetime
from typing import Annotated

from advanced_alchemy.extensions.litestar import SQLAlchemyDTO
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import DateTime, Index, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Title = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=10_000)]


class Base(DeclarativeBase):
    """The base of the tables."""


class Task(Base):
    """A row."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_user_id_created_at", "user_id", "created_at"), {"schema": "litestar"})

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[str]
    title: Mapped[str]
    description: Mapped[str | None]
    completed: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class TaskCreate(Struct):
    """The body of a create."""

    title: Title
    description: Description | None = None


class TaskUpdate(Struct):
    """The body of a patch."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET


TaskPublic = SQLAlchemyDTO[Task]
"""A task as it is answered."""
