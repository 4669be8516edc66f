"""Sends large answers in pieces, each when the client has taken those before, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import cast

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskward.errors import Unavailable
from taskward.http.middleware import sent_method
from taskward.http.services import services, services_of
from taskward.runtime.timeouts import Expired, Timeouts
from taskward.runtime.unsent import Room

ROOM_KEY = "taskward.room"
"""The key in a request's scope of the `Room` of its answer."""
LARGE = 64 * 1024
"""Bytes. A larger body is sent in pieces."""
PIECE = 16 * 1024
"""Bytes of a piece."""
# Granian's `send` returns at once while fewer than four messages wait for the connection. When so many empty ones have
# got past, what came before them has reached the connection's own buffer.
_BEHIND = 5


def room_of(request: Request, user_id: str) -> Room:
    """The room of the answer to a request, which is given back when that was sent.

    Args:
        user_id: Who asks.
    """
    room: Room | None = request.scope.get(ROOM_KEY)
    if room is None:
        room = request.scope[ROOM_KEY] = Room(services(request).unsent, user_id)
    return room


class ClientGone(Exception):
    """The client has left, or takes nothing: nobody wants the rest of the answer."""


class Sending:
    """Sends answers through an `Outlet` that are large or made while they are sent. Plain ASGI, because it runs on
    every request.

    Args:
        timeout: Seconds that a piece may take.
    """

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        self._app = app
        self._patience = Timeouts(timeout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        outlet: Outlet | None = None

        async def send_large(message: Message) -> None:
            nonlocal outlet
            if outlet is None:
                outlet = Outlet(receive, send, self._patience)
            await outlet.write(message.get("body", b""))
            if not message.get("more_body"):
                await outlet.end()

        def send_any(message: Message) -> Awaitable[None]:
            if outlet is None and len(message.get("body", b"")) <= LARGE and not message.get("more_body"):
                return send(message)
            return send_large(message)

        try:
            await self._app(scope, receive, send_any)
        finally:
            if outlet is not None:
                outlet.close()


class Outlet:
    """The body of one answer on its way out.

    Args:
        patience: How long a piece may take.
    """

    def __init__(self, receive: Receive, send: Send, patience: Timeouts) -> None:
        self._send = send
        self._patience = patience
        self._leaving = asyncio.ensure_future(_wait_until_gone(receive))

    async def write(self, body: bytes) -> None:
        """Send some of the body; returns when all but a bounded rest has been taken.

        Raises:
            ClientGone: Nobody takes it.
        """
        for start in range(0, len(body), PIECE):
            await self._write_piece(body[start : start + PIECE])

    async def end(self) -> None:
        """Send the end of the body; raises as `write`."""
        for _ in range(_BEHIND):
            await self._write_piece(b"")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        self._leaving.cancel()

    async def _write_piece(self, piece: bytes) -> None:
        # `send` does not tell that the client has left.
        if self._leaving.done():
            raise ClientGone
        try:
            with self._patience.limit():
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except Expired:
            raise ClientGone from None


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Pages(StreamingResponse):
    """An answer that is made page by page, by an async generator, as the client takes it. Each page may take as long
    as a request.
    """

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        pages = cast("AsyncGenerator[bytes]", self.body_iterator)
        async with aclosing(pages):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if sent_method(scope) != "HEAD":
                timeouts = services_of(scope["app"]).timeouts
                while (page := await _next(pages, timeouts)) is not None:
                    await send({"type": "http.response.body", "body": page, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(pages: AsyncGenerator[bytes], timeouts: Timeouts) -> bytes | None:
    try:
        with timeouts.limit():
            return await anext(pages, None)
    except Expired:
        raise Unavailable(reason=f"a page took longer than {timeouts.seconds:g} s") from None
