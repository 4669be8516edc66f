"""Problems as answers (RFC 9457) and as pages."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from taskward.errors import InternalError, MethodNotAllowed, PreflightRefused, Problem, RouteNotFound, every_problem
from taskward.http.failures import Failures
from taskward.http.framework import get_route_path, is_async_callable, without_outer_handlers
from taskward.http.middleware import has_begun, request_id
from taskward.http.responses import encode_line, public_path
from taskward.http.sending import ClientGone

_MEDIA_TYPE = "application/problem+json"
_CODE = re.compile("`([^`]*)`")


def render(request: Request, problem: Problem) -> Response:
    """The answer to a request that ended in a problem."""
    body = document(request.scope, problem)
    return Response(encode_line(body), problem.status, problem.headers, _MEDIA_TYPE)


def document(scope: Scope, problem: Problem) -> dict[str, Any]:
    root = str(scope.get("root_path", "")).rstrip("/")
    path = str(scope["path"])
    shown = path if root and path.startswith(f"{root}/") else root + path
    return {
        "type": f"{root}/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(shown, errors="replace"),
        "request_id": request_id(scope),
        **({} if problem.index is None else {"index": problem.index}),
        **problem.members,
    }


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem, the framework's own included, and serve the pages."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_api_route("/problems/{slug}", problem_page, include_in_schema=False, response_class=HTMLResponse)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - what it is registered for
    return render(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    if error.status_code == HTTPStatus.NOT_FOUND:
        return render(request, RouteNotFound())
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            # A browser shows its answer to whoever wonders why a page cannot call.
            return render(request, PreflightRefused())
        return render(request, MethodNotAllowed(_allowed(request)))
    # Nothing here raises another one; an embedding app's dependency may. RFC 9457, section 4.2.1: no type, no page.
    phrase = HTTPStatus(error.status_code).phrase
    body = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "request_id": request_id(request.scope),
    }
    return Response(encode_line(body), error.status_code, error.headers, _MEDIA_TYPE)


def _allowed(request: Request) -> str:
    """Every method that some route answers at this path; the framework knows only those of the first route."""
    path = get_route_path(request.scope)
    methods: set[str] = set()
    has_its_own = False
    for route in request.app.routes:
        is_fixed = getattr(route, "path", None) == path
        if has_its_own and not is_fixed:
            # A fixed path is not a value of a later route's parameter.
            continue
        has_its_own |= is_fixed
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if route.matches({**request.scope, "method": method})[0] is Match.FULL:
                methods.add(method)
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


async def problem_page(slug: str, request: Request) -> HTMLResponse:
    """What a type of error means and what to do about it, for a person."""
    kind = next((kind for kind in every_problem() if kind.slug == slug), None)
    if kind is None:
        raise RouteNotFound
    text = _CODE.sub(r"<code>\1</code>", html.escape(inspect.cleandoc(kind.__doc__ or "")))
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    home = html.escape(public_path(request, "/docs"))
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{kind.status} {html.escape(kind.title)}</title>"
        f"<h1>{kind.status} {html.escape(kind.title)}</h1>{paragraphs}<p>{html.escape(kind.detail)}</p>"
        f'<p><a href="{home}">API documentation</a></p></html>'
    )


class ErrorBoundary:
    """Answers every exception of a request: by the app's handler for it, or by a 500 that tells nothing, and an event
    in the log that tells all but the data. It replaces two layers of the framework, each of which would cost every
    request some time. Protocols other than HTTP keep the framework's layer.

    Args:
        handlers: As `FastAPI.exception_handlers`: by class, and for an `HTTPException` by its status as well.
        failures: Told of the requests that end in an error.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[Any, Any], failures: Failures) -> None:
        self._app = app
        self._handlers = handlers
        self._failures = failures
        self._others = ExceptionMiddleware(app, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        began = perf_counter()
        # The framework's own routes would call those.
        without_outer_handlers(scope)
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - every one is answered
            try:
                if not await self._has_handled(scope, receive, send, error, began):
                    raise
            except ClientGone:
                self._failures.note_gone(scope, began)
            except Exception as defect:  # noqa: BLE001 - the last net
                begun = has_begun(scope)
                self._failures.note(scope, defect, None if begun else HTTPStatus.INTERNAL_SERVER_ERROR, began)
                if not begun:
                    await render(Request(scope), InternalError())(scope, receive, send)

    async def _has_handled(self, scope: Scope, receive: Receive, send: Send, error: Exception, began: float) -> bool:
        """Answer by the app's handler, unless there is none for this or another answer has begun."""
        handler = self._handler(error)
        if handler is None or has_begun(scope):
            return False
        request = Request(scope, receive, send)
        if is_async_callable(handler):
            response: Response = await handler(request, error)
        else:
            response = await run_in_threadpool(handler, request, error)
        self._failures.note(scope, error, response.status_code, began)
        await response(scope, receive, send)
        return True

    def _handler(self, error: Exception) -> Any:
        by_status = (error.status_code,) if isinstance(error, HTTPException) else ()
        kinds = (*by_status, *type(error).__mro__)
        return next((self._handlers[kind] for kind in kinds if kind in self._handlers), None)
