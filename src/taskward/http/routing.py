"""The routes under the base path: a route class whose endpoints run by plans, and the index that finds them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from taskward.errors import MethodNotAllowed
from taskward.http.framework import as_included, get_route_path, overridden
from taskward.http.plans import Plan
from taskward.http.sending import ROOM_KEY


class PrecompiledRoute(APIRoute):
    """A route whose endpoint runs by a plan made from its signature.

    An endpoint is a coroutine function that returns a `Response`. Its dependencies may be coroutine functions, plain
    functions that do not block, and async generators.

    Raises:
        TypeError: At declaration, when the signature asks for something that a plan does not do.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # FastAPI's application wraps the handler in exit stacks and a net for exceptions. A plan leaves what it
        # entered, and `ErrorBoundary` catches the exceptions of all routes.
        self.app = _application(self.get_route_handler())

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        route = as_included(self)
        dependant = route.dependant
        path = route.path_format
        response_class: Any = route.response_class
        produced = getattr(response_class, "value", response_class).media_type or "application/json"
        plan = Plan(dependant, produced)

        async def handle(request: Request) -> Response:
            overrides = request.app.dependency_overrides
            chosen = Plan(overridden(dependant, overrides, path), produced) if overrides else plan
            return await chosen.run(request)

        return handle


class RouteIndex:
    """Finds the route that the framework would find, without trying every route in turn.

    It finds a fixed path in one step, and any other among the patterns of the request's method. Requests for which it
    finds no route go to the framework, which knows other routes and answers 404 and 405.

    Args:
        app: The framework's router.
        routes: All routes of the app. The first one that is no `PrecompiledRoute` and all after it are left to the
            framework, as that one may be meant to come first.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._fixed: dict[tuple[str, str], PrecompiledRoute] = {}
        self._patterns: dict[str, list[PrecompiledRoute]] = {}
        # By fixed path: its methods, and the later patterns that match it and must not take its requests.
        self._methods: dict[str, set[str]] = {}
        self._hidden: dict[str, set[int]] = {}
        for route in routes:
            if not isinstance(route, PrecompiledRoute):
                break
            for method in route.methods or ():
                earlier = self._patterns.setdefault(method, [])
                if route.param_convertors:
                    earlier.append(route)
                    for path in self._methods:
                        if route.path_regex.match(path):
                            self._hidden.setdefault(path, set()).add(id(route))
                elif not any(one.path_regex.match(route.path) for one in earlier):
                    self._fixed.setdefault((method, route.path), route)
                    self._methods.setdefault(route.path, set()).add(method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], get_route_path(scope)
        route = self._fixed.get((method, path))
        parameters: dict[str, str] = {}
        if route is None:
            for candidate in self._patterns.get(method, ()):
                if match := candidate.path_regex.match(path):
                    if id(candidate) in self._hidden.get(path, ()):
                        # A fixed path is not a value of another route's parameter.
                        raise MethodNotAllowed(", ".join(sorted(self._methods[path])))
                    route, parameters = candidate, match.groupdict()
                    break
            else:
                await self._app(scope, receive, send)
                return
        scope["route"], scope["endpoint"] = route, route.endpoint
        scope["path_params"] = {**scope.get("path_params", {}), **parameters}
        await route.app(scope, receive, send)


def _application(handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)
        finally:
            if ROOM_KEY in scope:
                scope[ROOM_KEY].give_back()

    return application
