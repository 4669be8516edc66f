"""Receives the body of a request, in memory or on the disk, and no more of it than its route takes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.types import Scope

from taskward.errors import BodyTimeout, BodyTooLarge
from taskward.http.framework import body_at_hand
from taskward.http.headers import headers_of
from taskward.http.spooling import SpooledBody, Spools

_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"content-type"})


async def receive(request: Request, largest: int) -> bytes:
    """A body in memory; nothing where none is announced.

    Raises:
        BodyTooLarge: It has more than `largest` bytes.
        BodyTimeout: The client went away.
    """
    body = _body_at_hand(request, largest)
    if body is None:
        # Nearly every body comes in one piece.
        body, more = await _piece(request, largest, 0)
        if more:
            pieces = [body, *[piece async for piece in _pieces(request, largest, len(body))]]
            body = b"".join(pieces)
    return body


async def spool(request: Request, spools: Spools, user_id: str) -> SpooledBody:
    """A body on the disk, which must be closed; raises as `receive`."""
    body = spools.open(user_id)
    try:
        at_hand = _body_at_hand(request, spools.largest)
        if at_hand is not None:
            body.write(at_hand)
        else:
            async for piece in _pieces(request, spools.largest):
                body.write(piece)
    except BaseException:
        body.close()
        raise
    return body


def _body_at_hand(request: Request, largest: int) -> bytes | None:
    """A body for which nothing is to be received; None where there is one to come."""
    if not _may_have_body(request.scope):
        return b""
    body = body_at_hand(request)  # a dependency has read it
    if body is not None:
        if len(body) > largest:
            raise BodyTooLarge(largest)
        return body
    length = headers_of(request.scope).get(b"content-length", b"0")
    if length.isdigit() and int(length) > largest:
        raise BodyTooLarge(largest)
    return None


async def _pieces(request: Request, largest: int, size: int = 0) -> AsyncIterator[bytes]:
    """The pieces of a body that are still to come.

    Args:
        size: How much has come before.
    """
    more = True
    while more:
        piece, more = await _piece(request, largest, size)
        size += len(piece)
        yield piece


async def _piece(request: Request, largest: int, size: int) -> tuple[bytes, bool]:
    """The next piece of a body, and whether there are more."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise BodyTimeout(reason="the client went away before its body had come")
    piece: bytes = message.get("body", b"")
    if size + len(piece) > largest:
        raise BodyTooLarge(largest)
    return piece, message.get("more_body", False)


def _may_have_body(scope: Scope) -> bool:
    # In HTTP/1 a body is announced (RFC 9112, section 6.3). To ask the server for one takes it longer than to see that.
    # What stands between, such as a gateway that makes events of requests, may drop the length and keep the type.
    if not scope.get("http_version", "").startswith("1"):
        return True
    return not _BODY_HEADERS.isdisjoint(headers_of(scope))
