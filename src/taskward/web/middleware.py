"""What every answer has, whichever route or error made it. Plain ASGI, because it runs on every request."""

from __future__ import annotations

import logging
import re
import secrets
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskward.errors import InternalError, PreflightRefused

_log = logging.getLogger("taskward")

BASE_PATH = "/api/v1"
EXPOSED_HEADERS = (
    "ETag", "Link", "Location", "Retry-After", "X-Request-Id", "X-Total-Count", "Idempotency-Replayed",
)  # fmt: skip
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_SCOPE_KEY = "taskward.request_id"


def request_id(scope: Scope) -> str:
    """The id of the request, as its answer and the log carry it."""
    return str(scope.get(_SCOPE_KEY, ""))


class RequestContext:
    """Gives every request an id and every answer the common headers, and answers HEAD as GET without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = _chosen_id(scope)
        scope[_SCOPE_KEY] = chosen
        common = [(b"x-request-id", chosen.encode()), (b"x-content-type-options", b"nosniff")]
        if scope["path"].startswith(str(scope.get("root_path", "")).rstrip("/") + BASE_PATH) or scope[
            "path"
        ].startswith(BASE_PATH):
            common.append((b"vary", b"Authorization"))
        is_head = scope["method"] == "HEAD"
        if is_head:
            # The server looks at its own scope to know that no body follows, so that one keeps its method.
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers.extend(common)
                names = [name for name, _ in headers]
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"private, no-cache" if b"etag" in names else b"no-store"))
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _chosen_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return secrets.token_hex(8)


class RootPath:
    """Tells the app under which path a proxy serves it, unless the server or an outer app has told it one already."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": scope.get("root_path") or self._prefix}, receive, send)


class ErrorBoundary:
    """Turns whatever nobody handled into a 500 that tells nothing, and a log entry that tells all but the data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting_start)
        except Exception as error:  # noqa: BLE001 - the last resort
            # An exception's message may quote a row or a token; its type and place do not.
            _log.error("Request %s failed: %s", request_id(scope), _without_data(error))
            if not started:
                from taskward.web.problems import render  # noqa: PLC0415 - problems needs request_id from here

                response = render(Request(scope), InternalError())
                await response(scope, receive, send_noting_start)


def _without_data(error: BaseException) -> str:
    lines = [f"{type(error).__module__}.{type(error).__qualname__}"]
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        lines.append(f"  at {code.co_qualname if hasattr(code, 'co_qualname') else code.co_name} ({code.co_filename}:{frame.tb_lineno})")
        frame = frame.tb_next
    if error.__cause__ is not None:
        lines.append("caused by " + _without_data(error.__cause__))
    return "\n".join(lines)


class Cors(CORSMiddleware):
    """Cross-origin rules. A preflight needs no token; one that is refused is a problem like any other refusal."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id",
            ),
            expose_headers=EXPOSED_HEADERS,
            max_age=7200,
        )  # fmt: skip

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight with no body, so that there is nothing to be of the wrong media type."""
        response = super().preflight_response(request_headers)
        headers = _without_entity(response)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return Response(status_code=response.status_code, headers=headers)
        return _RefusedPreflight(headers=headers)


class _RefusedPreflight(Response):
    """The problem, which can be told only once the request is known."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from taskward.web.problems import render  # noqa: PLC0415 - problems needs request_id from here

        response = render(Request(scope), PreflightRefused())
        response.headers.update(_without_entity(self))
        await response(scope, receive, send)


def _without_entity(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in {"content-length", "content-type"}}
