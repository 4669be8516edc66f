"""The table of lists."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Uuid, func
from sqlmodel import Field

from taskward.lists.fields import ListFields
from taskward.storage.tables import (
    AccountColumn,
    OwnedTable,
    account_column,
    owner_column,
    table_args,
    text_column,
    timestamp_column,
)

LIST_COUNT: AccountColumn[int] = account_column("lists", BigInteger(), default=0)
"""How many lists an owner has."""


class TaskList(ListFields, OwnedTable, table=True):
    """A list in the database; the migrations hold its constraints and its row-level security.

    Attributes:
        position: NULL where the list was never moved; then it is the id.
    """

    __tablename__ = "list"
    __table_args__ = table_args(probed=True)

    user_id: str = owner_column()
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    position: str | None = text_column(nullable=True, collation="C")
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = timestamp_column(default=func.now())
    updated_at: datetime = timestamp_column(default=func.now(), onupdate=func.now())
