"""The application: one function, for `granian --interface asgi bench.peers.bare.app:app`."""

import asyncio
import hmac
import os
import uuid
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import orjson

_SECRET = os.environ["JWT_SECRET"].encode()
_POOL_SIZE = int(os.environ["POOL_SIZE"])
_COLUMNS = "id::text, user_id, title, description, completed, created_at, updated_at"
_LIST = f"SELECT {_COLUMNS} FROM bare.task WHERE user_id = $1 ORDER BY created_at DESC LIMIT 50"
_FILTERED = f"SELECT {_COLUMNS} FROM bare.task WHERE user_id = $1 AND completed = $2 ORDER BY created_at DESC LIMIT 50"
_GET = f"SELECT {_COLUMNS} FROM bare.task WHERE id = $1"
_CREATE = f"INSERT INTO bare.task (id, user_id, title, description) VALUES ($1, $2, $3, $4) RETURNING {_COLUMNS}"
_PATCH = (
    "UPDATE bare.task SET title = coalesce($3, title), updated_at = now()"
    f" WHERE id = $1 AND user_id = $2 RETURNING {_COLUMNS}"
)
_COMPLETE = (
    "UPDATE bare.task SET completed = NOT completed, updated_at = now()"
    f" WHERE id = $1 AND user_id = $2 RETURNING {_COLUMNS}"
)
_OWNER = "SELECT user_id FROM bare.task WHERE id = $1"
_BASE = "/api/v1/tasks"
_HEADERS = [(b"content-type", b"application/json")]

_idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/health` and the tasks."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    status, body = await _answer(scope, receive)
    await send({"type": "http.response.start", "status": status, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    for _ in range(_POOL_SIZE):
        _idle.put_nowait(await asyncpg.connect(os.environ["DATABASE_URL"]))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    while not _idle.empty():
        await _idle.get_nowait().close()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(scope: Any, receive: Any) -> tuple[int, bytes]:
    path: str = scope["path"]
    if path == "/health":
        return 200, b"{}"
    token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    user_id = _subject(token.removeprefix(b"Bearer "))
    if user_id is None:
        return 401, b"{}"
    connection = await _idle.get()
    try:
        if path == _BASE:
            return await _collection(connection, scope, receive, user_id)
        return await _one(connection, scope["method"], path, receive, user_id)
    finally:
        _idle.put_nowait(connection)


async def _collection(connection: Any, scope: Any, receive: Any, user_id: str) -> tuple[int, bytes]:
    if scope["method"] == "POST":
        body = orjson.loads((await receive())["body"])
        row = await connection.fetchrow(_CREATE, uuid.uuid4(), user_id, body["title"], body.get("description"))
        return 201, orjson.dumps(dict(row.items()))
    if query := scope["query_string"]:
        completed = parse_qs(query.decode())["completed"] == ["true"]
        rows = await connection.fetch(_FILTERED, user_id, completed)
    else:
        rows = await connection.fetch(_LIST, user_id)
    return 200, orjson.dumps([dict(row.items()) for row in rows])


async def _one(connection: Any, method: str, path: str, receive: Any, user_id: str) -> tuple[int, bytes]:
    task_id = path[len(_BASE) + 1 :].removesuffix("/complete")
    if method == "GET":
        row = await connection.fetchrow(_GET, task_id)
    elif path.endswith("/complete"):
        row = await connection.fetchrow(_COMPLETE, task_id, user_id)
    else:
        body = orjson.loads((await receive())["body"])
        row = await connection.fetchrow(_PATCH, task_id, user_id, body.get("title"))
    if row is None:
        return (404 if await connection.fetchval(_OWNER, task_id) is None else 403), b"{}"
    return (200, orjson.dumps(dict(row.items()))) if row["user_id"] == user_id else (403, b"{}")


def _subject(token: bytes) -> str | None:
    signed, _, signature = token.rpartition(b".")
    given = urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))
    if not hmac.compare_digest(hmac.digest(_SECRET, signed, sha256), given):
        return None
    payload = signed.partition(b".")[2]
    return str(orjson.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))["sub"])
