"""The account of one owner: what it has, and its end."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlalchemy import Table, delete

from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.counts import Counts
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import Account, OwnedTable, table_of


class AccountStore:
    """The account of the session's owner."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def counts(self, of: Iterable[Counts]) -> dict[str, int]:
        """How much there is of what slices count."""
        counts: dict[str, int] = {}
        for one in of:
            row = await self._session.fetch_one(one.statement())
            assert row is not None, "a count is a row"  # noqa: S101
            counts |= dict(row)
        return counts

    async def erase(self) -> None:
        """Remove every row of the owner's."""
        # Whoever has written nothing gets an account for it, since only a row makes the first writes of others wait.
        await AccountLock.acquire(self._session)
        for table in erased_tables():
            await self._session.fetch(_erase(table))


def erased_tables() -> list[Table]:
    """Every table with rows of an owner, those first that refer to others, the account last."""
    account = table_of(Account)
    return [*(table for table in reversed(OwnedTable.metadata.sorted_tables) if table is not account), account]


@cache
def _erase(table: Table) -> Statement:
    return compile_statement(delete(table).where(table.c.user_id == OWNER))
