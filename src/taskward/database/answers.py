"""Stored answers: what a request with an Idempotency-Key was answered, kept with what it wrote."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import asyncpg
from sqlalchemy import JSON, Interval, LargeBinary, SmallInteger, Text, bindparam, delete, func, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.database.session import Session
from taskward.database.statements import OWNER, Statement, compile_statement
from taskward.database.tables import StoredAnswer, columns
from taskward.errors import KeyReused, RequestRunning

_KEPT = timedelta(days=1)
PATIENCE = 10.0
"""Seconds for which a request waits for an earlier one with its key."""

_answer = columns(StoredAnswer)
_KEY = bindparam("key", type_=Text())
_MINE = (_answer.user_id == OWNER, _answer.key == _KEY)
_HAS_EXPIRED = _answer.created_at < func.now() - bindparam("kept", type_=Interval())


class AnswerStore:
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
                await self._session.fetch(_expire_one(), key=key, kept=_KEPT)
                for _ in range(2):
                    if await self._session.fetch_one(_claim(), key=key, request=request):
                        return None
                    row = await self._session.fetch_one(_get(), key=key)
                    if row is not None:
                        break
        except asyncpg.LockNotAvailableError:
            raise RequestRunning from None
        if row is None:
            raise RequestRunning
        if row["request"] != request:
            raise KeyReused
        return row

    async def store(self, key: str, status: int, headers: str, body: str) -> None:
        """Keep the answer to the request that has claimed the key. Those that have expired are removed.

        Args:
            headers: A JSON object.
        """
        # It is the owner's turn by now. Before that, an erasure would wait for what is locked here, and be waited for.
        await self._session.fetch(_expire(), kept=_KEPT)
        await self._session.fetch(_store(), key=key, status=status, headers=headers, body=body)


@cache
def _expire() -> Statement:
    return compile_statement(delete(StoredAnswer).where(_answer.user_id == OWNER, _HAS_EXPIRED))


@cache
def _expire_one() -> Statement:
    return compile_statement(delete(StoredAnswer).where(*_MINE, _HAS_EXPIRED))


@cache
def _claim() -> Statement:
    request = bindparam("request", type_=LargeBinary())
    row = upsert(StoredAnswer).values(user_id=OWNER, key=_KEY, request=request)
    return compile_statement(row.on_conflict_do_nothing().returning(_answer.key))


@cache
def _get() -> Statement:
    return compile_statement(select(_answer.request, _answer.status, _answer.headers, _answer.body).where(*_MINE))


@cache
def _store() -> Statement:
    values = {
        "status": bindparam("status", type_=SmallInteger()),
        "headers": bindparam("headers", type_=JSON()),
        "body": bindparam("body", type_=Text()),
    }
    return compile_statement(update(StoredAnswer).where(*_MINE).values(**values))
