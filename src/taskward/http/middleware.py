"""What every answer has, whichever route or error made it. Plain ASGI, because it runs on every request."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskward.http.headers import headers_of

BASE_PATH = "/api/v1"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_ID_KEY = "taskward.request_id"
_STATUS_KEY = "taskward.sent_status"
_HEAD_KEY = "taskward.is_head"


def request_id(scope: Scope) -> str:
    """The id of the request, as its answer and the log carry it."""
    return str(scope.get(_ID_KEY, ""))


def sent_method(scope: Scope) -> str:
    """The method that the client sent; a HEAD runs as a GET."""
    return "HEAD" if _HEAD_KEY in scope else str(scope["method"])


def sent_status(scope: Scope) -> int | None:
    """The status of the answer, or None as long as none was sent. `RequestContext` notes it."""
    return scope.get(_STATUS_KEY)


def has_begun(scope: Scope) -> bool:
    """Whether the answer's status has been sent, so that another one cannot be."""
    return _STATUS_KEY in scope


class RequestContext:
    """Gives every request an id and every answer the common headers, and answers HEAD as GET without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = _chosen_id(scope)
        scope[_ID_KEY] = chosen
        common = [(b"x-request-id", chosen.encode()), (b"x-content-type-options", b"nosniff")]
        if scope["path"].startswith((BASE_PATH, str(scope.get("root_path", "")).rstrip("/") + BASE_PATH)):
            common.append((b"vary", b"Authorization"))
        is_head = scope["method"] == "HEAD"
        if is_head:
            # A copy: the server goes by its own scope when it leaves the body out.
            scope = {**scope, "method": "GET", _HEAD_KEY: True}

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                scope[_STATUS_KEY] = message["status"]
                headers = message["headers"]
                names = dict(headers)
                headers.extend(common)
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"private, no-cache" if b"etag" in names else b"no-store"))
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            return send(message)

        await self._app(scope, receive, send_with_headers)


def _chosen_id(scope: Scope) -> str:
    given = headers_of(scope).get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    # Tells requests apart and guards nothing, so it needs no system call for its randomness.
    return f"{random.getrandbits(64):016x}"


class RootPath:
    """Tells the app under which path a proxy serves it, unless the server or an outer app has told it one already."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": scope.get("root_path") or self._prefix}, receive, send)
