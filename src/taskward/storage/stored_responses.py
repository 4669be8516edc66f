"""Stored answers: what a request with an Idempotency-Key was answered, kept with what it wrote."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    JSON,
    Interval,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    delete,
    func,
    or_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.errors import KeyReused, RequestRunning
from taskward.storage.account_lock import wait_for_lock
from taskward.storage.scoping import OWNER, Statement, compile_statement
from taskward.storage.session import Session
from taskward.storage.tables import StoredResponse, columns

_KEPT = timedelta(days=1)
PATIENCE = 10.0
"""Seconds for which a request waits for an earlier one with its key."""

_answer = columns(StoredResponse)
_KEY = bindparam("key", type_=Text())
_MINE = (_answer.user_id == OWNER, _answer.key == _KEY)
_HAS_EXPIRED = _answer.created_at < func.now() - bindparam("kept", type_=Interval())


class StoredResponses:
    """The stored answers of the session's owner."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def claim(self, key: str, request: bytes) -> asyncpg.Record | None:
        """Take a key for a request, waiting for an earlier one that has it.

        Args:
            request: A digest of it.

        Returns:
            The answer that was stored, with `status`, `headers` and `body`, or None where this request is the first.

        Raises:
            KeyReused: The key stands for another request.
            RequestRunning: The earlier one has not ended in time.
        """
        try:
            async with self._session.waiting_at_most(PATIENCE):
                row = await self._claim(key, request)
        except asyncpg.LockNotAvailableError:
            raise RequestRunning from None
        if row is not None and row["request"] != request:
            raise KeyReused
        return row

    async def _claim(self, key: str, request: bytes) -> asyncpg.Record | None:
        while await self._session.fetch_one(_claim(), key=key, request=request) is None:
            row = await self._session.fetch_one(_get(), key=key, kept=_KEPT)
            if row is None:
                # The earlier one came to nothing, or was erased.
                continue
            if not row["has_expired"]:
                return row
            # Stored answers are removed in the owner's turn alone. Whoever removed one before it would be waited for,
            # and wait.
            await wait_for_lock(self._session)
            await self._session.fetch(_expire(), kept=_KEPT)
        return None

    async def store(self, key: str, status: int, headers: str, body: str, shown: Collection[UUID]) -> None:
        """Keep the answer to the request that has claimed the key. Those that have expired are removed.

        Args:
            headers: A JSON object.
            shown: The ids of the rows that the body tells of. Where it names none, it is taken to tell of
                any.
        """
        await self._session.fetch(_expire(), kept=_KEPT)
        values = {"status": status, "headers": headers, "body": body, "shown": list(shown) or None}
        await self._session.fetch(_store(), key=key, **values)

    async def forget(self, erased: Collection[UUID]) -> None:
        """Remove the answers that tell of rows that are erased, in the owner's turn."""
        await self._session.fetch(_forget(), erased=list(erased))


@cache
def _expire() -> Statement:
    return compile_statement(delete(StoredResponse).where(_answer.user_id == OWNER, _HAS_EXPIRED))


@cache
def _claim() -> Statement:
    request = bindparam("request", type_=LargeBinary())
    row = upsert(StoredResponse).values(user_id=OWNER, key=_KEY, request=request)
    return compile_statement(row.on_conflict_do_nothing().returning(_answer.key))


@cache
def _get() -> Statement:
    kept: tuple[Any, ...] = (
        _answer.request,
        _answer.status,
        _answer.headers,
        _answer.body,
        _HAS_EXPIRED.label("has_expired"),
    )
    return compile_statement(select(*kept).where(*_MINE))


@cache
def _store() -> Statement:
    values = {
        "status": bindparam("status", type_=SmallInteger()),
        "headers": bindparam("headers", type_=JSON()),
        "body": bindparam("body", type_=Text()),
        "shown": bindparam("shown", type_=ARRAY(Uuid())),
    }
    return compile_statement(update(StoredResponse).where(*_MINE).values(**values))


@cache
def _forget() -> Statement:
    shown = func.unnest(_answer.shown).table_valued(column("id", Uuid())).render_derived(name="shown")
    is_shown = select(shown.c.id).where(shown.c.id == any_(bindparam("erased", type_=ARRAY(Uuid())))).exists()
    # Those of requests that are running, such as this one, have no status yet.
    is_done = _answer.status.is_not(None)
    tells = or_(_answer.shown.is_(None), is_shown)
    return compile_statement(delete(StoredResponse).where(_answer.user_id == OWNER, is_done, tells))
