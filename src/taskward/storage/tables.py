"""What every table of Taskward is made of, and the tables that are of no slice: the account, whose clock every write
advances, and what is kept of rows that are gone and of requests that were answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    text,
    update,
)
from sqlalchemy.orm import registry
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

from taskward.storage.quoting import SCHEMA
from taskward.storage.scoping import OWNER, Constant

MICROSECOND = Constant(timedelta(microseconds=1))
"""By how much the time of a change is at least after the owner's one before."""

_Kept = TypeVar("_Kept")

_registry = registry(metadata=MetaData(schema=SCHEMA))


class OwnedTable(SQLModel, registry=_registry):
    """The base of Taskward's tables: a schema and a registry of their own, apart from an embedding app's."""


def table_args(*constraints: Any, probed: bool = False, **withheld: Collection[str]) -> tuple[Any, ...]:
    """The `__table_args__` of a table.

    Args:
        probed: Whether ids of its rows are in paths, so that somebody else's can be told from nobody's.
        withheld: By `insert` or `update`, columns that requests may not write, besides those that nobody may.
    """
    return (*constraints, {"info": {"probed": probed, "withheld": withheld}})


def rights(*, distributed: bool = False) -> dict[str, dict[str, tuple[str, ...]]]:
    """What the requests role may do, by table and verb, column by column. A key, an owner, and when a row was made can
    never be changed, and what PostgreSQL computes cannot be written.

    Args:
        distributed: Whether the tables are on a Citus cluster. Its coordinator writes out the defaults of a new row, so
            that whoever makes one must be allowed to write them.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {"alembic_version": {"SELECT": ("version_num",)}}
    for table in OwnedTable.metadata.sorted_tables:
        withheld = table.info.get("withheld", {})
        written = [column for column in table.c if column.computed is None]
        changed = [column for column in written if not column.primary_key and column.key != "created_at"]
        given = {
            "SELECT": tuple(column.key for column in table.c),
            "INSERT": tuple(
                column.key
                for column in written
                if column.key not in withheld.get("insert", ()) or (distributed and column.server_default is not None)
            ),
            "UPDATE": tuple(column.key for column in changed if column.key not in withheld.get("update", ())),
        }
        # A verb without columns would be a right to the whole table, as the one to erase rows is.
        found[table.name] = {verb: columns for verb, columns in given.items() if columns} | {"DELETE": ()}
    return found


def probed_tables() -> list[str]:
    """The tables whose ids are in paths."""
    return [table.name for table in OwnedTable.metadata.sorted_tables if table.info.get("probed")]


def owner_column() -> Any:
    """`user_id`, first in every key. Collation C: compared bytewise, so two spellings are two users."""
    return Field(sa_column=Column(Text(collation="C"), primary_key=True))


def text_column(*, nullable: bool = False, default: str | None = None, collation: str | None = None) -> Any:
    server_default = None if default is None else text(f"'{default}'")
    column = Column(Text(collation=collation), nullable=nullable, server_default=server_default)
    return Field(default=None, sa_column=column)


def timestamp_column(*, nullable: bool = False, default: Any = None, onupdate: Any = None) -> Any:
    """An instant, kept by the database's clock."""
    column = Column(DateTime(timezone=True), nullable=nullable, server_default=default, onupdate=onupdate)
    return Field(default=None, sa_column=column)


class Account(OwnedTable, table=True):
    """One row per user, made at the first write. Slices keep in it what `account_column` declares.

    Attributes:
        clock: Counts the owner's changes; the next value becomes the changed row's version.
        changed_at: The time of the last of these changes, in UTC.
        epoch: Random, so that nothing from before an erasure is taken for current.
    """

    __tablename__ = "account"
    __table_args__ = table_args(insert=("changed_at", "epoch", "created_at"), update=("epoch",))

    user_id: str = owner_column()
    clock: int = Field(sa_column=Column(BigInteger, nullable=False))
    # Without a zone, since the sum of a `timestamptz` and an interval depends on the session's zone, by which a
    # distributed table takes none.
    changed_at: datetime = Field(
        sa_column=Column(DateTime, nullable=False, server_default=text("timezone('UTC'::text, clock_timestamp())"))
    )
    epoch: UUID = Field(sa_column=Column(Uuid, nullable=False, server_default=text("gen_random_uuid()")))
    created_at: datetime = timestamp_column(default=func.now())


class Tombstone(OwnedTable, table=True):
    """What is left of a row that was erased for good.

    Attributes:
        kind: The table that it was in.
    """

    __tablename__ = "tombstone"
    __table_args__ = table_args(insert=("created_at",))

    user_id: str = owner_column()
    kind: str = Field(sa_column=Column(Text, primary_key=True))
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = timestamp_column(default=func.now())


class StoredResponse(OwnedTable, table=True):
    """The answer to a request with an Idempotency-Key, to be given again.

    Attributes:
        request: A digest of the method, the path and the body.
        status: NULL, as what follows, while the request is running.
        headers: A JSON object.
        shown: The ids of the rows in it; NULL where it may tell of any.
    """

    __tablename__ = "stored_answer"
    __table_args__ = table_args(insert=("status", "headers", "body", "shown", "created_at"), update=("request",))

    user_id: str = owner_column()
    key: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    request: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int | None = Field(default=None, sa_column=Column(SmallInteger))
    headers: str | None = Field(default=None, sa_column=Column(JSON))
    body: str | None = text_column(nullable=True)
    shown: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    created_at: datetime = timestamp_column(default=func.now())


@dataclass(frozen=True, slots=True, eq=False)
class AccountColumn(Generic[_Kept]):
    """Something that a slice keeps in its owner's account: whoever has the owner's turn reads and writes it.

    Attributes:
        column: In the account's table.
        label: Its name in the results and among the parameters of statements, where other tables' columns are as well.
        told: Whether every write tells of it; see `Session.account`.
    """

    column: Column[Any]
    label: str
    told: bool

    @property
    def _is_utc(self) -> bool:
        return isinstance(self.column.type, DateTime) and not self.column.type.timezone

    def read(self) -> ColumnElement[Any]:
        """What a statement reads of it, with its label."""
        return (in_utc(self.column) if self._is_utc else self.column).label(self.label)

    def written(self) -> ColumnElement[Any]:
        """What a statement writes into it: the parameter of its label."""
        if self._is_utc:
            return in_utc(bindparam(self.label, type_=DateTime(timezone=True)))
        return bindparam(self.label, type_=self.column.type)


_account_columns: list[AccountColumn[Any]] = []


def account_column(name: str, kind: TypeEngine[Any], *, default: _Kept, told: bool = False) -> AccountColumn[_Kept]:
    """Declare something that a slice keeps in its owner's account, where the slice's tables are. Its column is made by
    a migration.

    Args:
        kind: Its type in the database. A time without a zone is one of UTC, and an instant for whoever reads it.
        default: What it is in a new account: a number, or None where it may be NULL.
        told: Whether every write shall tell of it.
    """
    server_default = None if default is None else text(str(default))
    column: Column[Any] = Column(name, kind, nullable=default is None, server_default=server_default)
    account = table_of(Account)
    account.append_column(column)
    withheld = account.info["withheld"]
    withheld["insert"] = (*withheld["insert"], name)
    declared: AccountColumn[_Kept] = AccountColumn(column, f"account_{name}", told)
    _account_columns.append(declared)
    return declared


def account_columns() -> tuple[AccountColumn[Any], ...]:
    """All that slices keep in the account, by their names: whoever is imported first, statements are the same."""
    return tuple(sorted(_account_columns, key=lambda one: one.label))


def columns(model: type[SQLModel]) -> Any:
    """The columns of a table class, as `columns(Task).title`."""
    return table_of(model).c


def table_of(model: type[SQLModel]) -> Table:
    table = model.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)  # noqa: S101
    return table


def position_of(source: Any) -> ColumnElement[str]:
    """A row's position, from a table's columns or a sub-query's: where nobody moved it, it stands where it was made,
    which is what its id says.
    """
    return func.coalesce(source.position, cast(source.id, Text))


def in_utc(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """An instant as a time of UTC without a zone, or such a time as an instant."""
    return func.pg_catalog.timezone(Constant("UTC"), moment)


def next_change_at() -> ColumnElement[Any]:
    """When the owner's next change is: by the database's clock, and after every earlier change, whichever transaction
    began first. To be read while its row is locked, and put into `Account.changed_at`.
    """
    return func.greatest(in_utc(func.now()), columns(Account).changed_at + MICROSECOND)


def advance_clock(
    *conditions: ColumnElement[bool], changes: Mapping[AccountColumn[int], int] | None = None
) -> ReturningUpdate[Any]:
    """Advance the owner's clock. It yields `clock`, which is the version of the row that is changed with it, `at`, the
    time of the change, for whatever of the row says when, and what is told of the account; nothing where there is no
    account.

    The account's row stays locked until the transaction ends, so versions and times rise in commit order per user.

    Args:
        conditions: The clock stands still, and nothing is yielded, where no row of the owner's fulfils them.
        changes: By how much what slices count in the account changes.
    """
    table = table_of(Account)
    account = table.c
    counts = {one.column.name: one.column + Constant(change) for one, change in (changes or {}).items()}
    advanced = {"clock": account.clock + Constant(1), "changed_at": next_change_at()}
    # An upsert would make the account as well, and every write after the first would pay for that (decision 0013).
    advance = update(table).where(account.user_id == OWNER, *conditions).values(**advanced, **counts)
    told = [one.read() for one in account_columns() if one.told]
    return advance.returning(account.clock, in_utc(account.changed_at).label("at"), *told)


def next_version(*conditions: ColumnElement[bool], changes: Mapping[AccountColumn[int], int] | None = None) -> CTE:
    """As `advance_clock`, within the statement that changes the row."""
    return advance_clock(*conditions, changes=changes).cte("clock")


def told_by(clock: CTE) -> list[ColumnElement[Any]]:
    """What `next_version` tells of the account, which a statement yields for `Session.account`."""
    return [clock.c[one.label] for one in account_columns() if one.told]
