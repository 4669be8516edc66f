"""Cross-origin requests: which pages of other origins may call the API, and what of its answers they may see."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from taskward.errors import PreflightRefused
from taskward.http.problems import render

EXPOSED_HEADERS = (
    "ETag", "Link", "Location", "Retry-After", "X-Request-Id", "X-Total-Count", "Idempotency-Replayed",
    "Preference-Applied",
)  # fmt: skip


class Cors(CORSMiddleware):
    """Cross-origin rules. A preflight needs no token; one that is refused is a problem like any other refusal."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Prefer",
                "X-Request-Id",
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
        response = render(Request(scope), PreflightRefused())
        response.headers.update(_without_entity(self))
        await response(scope, receive, send)


def _without_entity(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in {"content-length", "content-type"}}
