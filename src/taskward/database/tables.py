"""What every table of Taskward is made of, and the account whose clock every write advances."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from taskward.database.roles import SCHEMA
from taskward.database.statements import OWNER

_registry = registry(metadata=MetaData(schema=SCHEMA))


class OwnedTable(SQLModel, registry=_registry):
    """The base of Taskward's tables: a schema and a registry of their own, apart from an embedding app's."""


def owner_column() -> Any:
    """`user_id`, first in every key. Collation C: compared bytewise, so two spellings are two users."""
    return Field(sa_column=Column(Text(collation="C"), primary_key=True))


def timestamp_column(*, nullable: bool = False, default: Any = None, onupdate: Any = None) -> Any:
    """An instant, kept by the database's clock."""
    column = Column(DateTime(timezone=True), nullable=nullable, server_default=default, onupdate=onupdate)
    return Field(default=None, sa_column=column)


class Account(OwnedTable, table=True):
    """One row per user, made at the first write.

    Attributes:
        clock: Counts the owner's changes; the next value becomes the changed row's version.
        epoch: Random, so that nothing from before an erasure is taken for current.
    """

    __tablename__ = "account"

    user_id: str = owner_column()
    clock: int = Field(sa_column=Column(BigInteger, nullable=False))
    epoch: UUID = Field(sa_column=Column(Uuid, nullable=False, server_default=text("gen_random_uuid()")))
    created_at: datetime = timestamp_column(default=func.now())


def columns(model: type[SQLModel]) -> Any:
    """The columns of a table class, as `columns(Task).title`."""
    return table_of(model).c


def table_of(model: type[SQLModel]) -> Table:
    table = model.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)  # noqa: S101
    return table


def open_account() -> Insert:
    """Make the owner's account, unless there is one."""
    return insert(Account).values(user_id=OWNER, clock=0).on_conflict_do_nothing()


def tick(*conditions: ColumnElement[bool]) -> CTE:
    """Advance the owner's clock; its column `clock` is the version of the row that the same statement changes. Empty
    where there is no account.

    The account's row stays locked until the transaction ends, so versions rise in commit order per user.

    Args:
        conditions: The clock stands still, and the CTE is empty, where no row of the owner's fulfils them.
    """
    account = columns(Account)
    # An upsert would make the account as well, and every write after the first would pay for that (decision 0013).
    advance = update(Account).where(account.user_id == OWNER, *conditions).values(clock=account.clock + 1)
    return advance.returning(account.clock).cte("tick")
