"""The one way in which every route under the base path runs.

FastAPI solves an endpoint's dependencies anew on every request, which costs about as much as the query. Here the
same signature is read once, when the route is declared, into a plan; `dependency_overrides` are honoured. The plan
also fixes the order that the API promises:

1. dependencies without parameters of their own, such as the identity: 401 comes before the body is looked at;
2. the body and all parameters, validated together: 406 408 413 415 400 422;
3. the remaining dependencies, those that `yield`, such as the session, among them;
4. the endpoint; then what yielded is left, so a transaction is committed before the first byte of the answer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from types import AsyncGeneratorType
from typing import Any, cast

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIRoute, _effective_route_context_var
from starlette._utils import get_route_path
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from taskward.deadlines import LIMIT_KEY, Deadline, Deadlines, Expired
from taskward.errors import MethodNotAllowed, OutcomeUnknown, Unavailable
from taskward.fairness import LongWork
from taskward.identity import Caller
from taskward.unsent import TIGHT, NeedsRoom
from taskward.web.reading import ReceivedBody, RequestReader
from taskward.web.sending import ROOM_KEY, room_of
from taskward.web.spooling import SpooledBody

Arguments = dict[str, Any]
_Generator = AsyncGeneratorType[Any, None]


class SessionRoute(APIRoute):
    """A route whose endpoint runs by a plan made from its signature.

    An endpoint is a coroutine function that returns a `Response`. Its dependencies may be coroutine functions, plain
    functions that do not block, and async generators.

    Raises:
        TypeError: At declaration, when the signature asks for something that a plan does not do.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # FastAPI's holds exit stacks and a net for exceptions around the handler. A plan leaves what it entered, and
        # there is a net around all routes.
        self.app = _application(self.get_route_handler())

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        # Included into another router, the route is made anew with that one's prefix and dependencies as well, and
        # FastAPI has no other way to tell a route class of it.
        included = _effective_route_context_var.get()
        route = self if included is None or included.original_route is not self else included
        dependant = route.dependant
        path = route.path_format
        response_class: Any = route.response_class
        produced = getattr(response_class, "value", response_class).media_type or "application/json"
        plan = _Plan(dependant, produced)

        async def handle(request: Request) -> Response:
            overrides = request.app.dependency_overrides
            chosen = _Plan(_overridden(dependant, overrides, path), produced) if overrides else plan
            return await chosen.run(request)

        return handle


class RouteIndex:
    """Finds the route that the framework would find, in one step where its path is fixed, and else among the patterns
    of the request's method. The framework would try every route in turn, and does so for what is not found here: other
    routes, 404 and 405.

    Args:
        app: The framework's router.
        routes: All routes of the app. From the first one on that is no `SessionRoute` they are left to the framework:
            that one may be meant to come first.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._fixed: dict[tuple[str, str], SessionRoute] = {}
        self._patterns: dict[str, list[SessionRoute]] = {}
        # By fixed path, its methods, and the patterns after it that it is not a value for.
        self._methods: dict[str, set[str]] = {}
        self._hidden: dict[str, set[int]] = {}
        for route in routes:
            if not isinstance(route, SessionRoute):
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
                        # What has a path of its own is no value of a parameter.
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


@dataclass(slots=True)
class _Step:
    """One dependency, or the endpoint: how it is called and where its arguments come from."""

    index: int
    call: Callable[..., Any]
    earlier: tuple[tuple[str, int], ...]
    request_names: tuple[str, ...]
    parameters: bool
    is_generator: bool
    is_coroutine: bool

    def start(self, request: Request, results: list[Any], arguments: Arguments) -> Any:
        """Call it.

        Args:
            arguments: Those that were read from the request; the others are added.
        """
        for name, index in self.earlier:
            arguments[name] = results[index]
        for name in self.request_names:
            arguments[name] = request
        return self.call(**arguments)


class _Plan:
    """A signature, read once.

    Args:
        produced: The media type of the answer.
    """

    def __init__(self, endpoint: Dependant, produced: str) -> None:
        if not inspect.iscoroutinefunction(endpoint.call):
            raise TypeError(f"{endpoint.call} is not a coroutine function")
        self._steps: list[_Step] = []
        self._dependants: list[Dependant] = []
        self._index: dict[Any, int] = {}
        self._add(endpoint)
        self._reader = RequestReader(self._dependants, produced)
        ready: set[int] = set()
        for step in self._steps:
            if not (step.parameters or step.is_generator) and all(i in ready for _, i in step.earlier):
                ready.add(step.index)
        *dependencies, self._endpoint = self._steps
        self._before = [step for step in dependencies if step.index in ready]
        self._after = [step for step in dependencies if step.index not in ready]

    def _add(self, dependant: Dependant) -> int:
        call = cast("Callable[..., Any]", dependant.call)
        if call in self._index and dependant.use_cache:
            return self._index[call]
        unsupported = (
            dependant.response_param_name,
            dependant.background_tasks_param_name,
            dependant.security_scopes_param_name,
            dependant.websocket_param_name,
        )
        # Scope "request" is FastAPI's for what stays open until the answer is sent.
        if any(unsupported) or inspect.isgeneratorfunction(_function(call)) or dependant.scope == "request":
            raise TypeError(f"{call} asks for something that SessionRoute does not give")
        earlier = tuple((sub.name, self._add(sub)) for sub in dependant.dependencies if sub.name)
        for sub in dependant.dependencies:
            if not sub.name:
                self._add(sub)
        names = (dependant.request_param_name, dependant.http_connection_param_name)
        parameters = bool(
            dependant.path_params
            or dependant.query_params
            or dependant.header_params
            or dependant.cookie_params
            or dependant.body_params
        )
        function = _function(call)
        step = _Step(
            index=len(self._steps),
            call=call,
            earlier=earlier,
            request_names=tuple(name for name in names if name),
            parameters=parameters,
            is_generator=inspect.isasyncgenfunction(function),
            is_coroutine=inspect.iscoroutinefunction(function),
        )
        self._steps.append(step)
        self._dependants.append(dependant)
        self._index[call] = step.index
        return step.index

    async def run(self, request: Request) -> Response:
        results: list[Any] = [None] * len(self._steps)
        for step in self._before:
            value = step.start(request, results, {})
            results[step.index] = await value if step.is_coroutine else value
        deadlines: Deadlines = request.app.state.deadlines
        user_id = _user_id(results)
        body = await self._reader.receive(request, deadlines, user_id)
        try:
            with deadlines.limit() as deadline:
                request.scope[LIMIT_KEY] = deadline
                return await self._answer_in_turn(request, results, body, deadline, user_id)
        except Expired:
            problem = OutcomeUnknown if deadline.in_doubt else Unavailable
            raise problem(reason=f"it took longer than {deadlines.seconds:g} s") from None
        finally:
            if isinstance(body, SpooledBody):
                body.close()

    async def _answer_in_turn(
        self, request: Request, results: list[Any], body: ReceivedBody, deadline: Deadline, user_id: str
    ) -> Response:
        """Answer when no other long work of the user is under way, or at once if this is not long. Where there was no
        room for the answer, answer again when there is.
        """
        work: LongWork = request.app.state.long_work
        is_long = self._reader.is_long(request, body)
        while True:
            try:
                if is_long:
                    async with work.of(user_id):
                        return await self._answer(request, results, body, deadline)
                work.short += 1
                try:
                    return await self._answer(request, results, body, deadline)
                finally:
                    work.ended()
            except NeedsRoom as needs:
                size = needs.size
            # What was entered has been left, so nobody waits with a connection or the user's turn in his hands.
            await room_of(request, user_id).ask(size)

    async def _answer(self, request: Request, results: list[Any], body: ReceivedBody, deadline: Deadline) -> Response:
        read = await self._reader.read(request, body)
        entered: list[_Generator] = []
        failure: BaseException | None = None
        try:
            for step in self._after:
                value = step.start(request, results, read[step.index])
                if step.is_generator:
                    try:
                        results[step.index] = await anext(value)
                    except StopAsyncIteration as error:
                        raise RuntimeError(f"{value.__name__} did not yield") from error
                    entered.append(value)
                else:
                    results[step.index] = await value if step.is_coroutine else value
            response = await self._endpoint.start(request, results, read[-1])
            _count(request, response, results)
            # A limit that struck during COMMIT could not tell whether the change was written.
            deadline.end()
        except BaseException as error:  # noqa: BLE001 - raised again when what was entered has been left
            failure = error
        while entered:
            failure = await _leave(entered.pop(), failure)
        if failure is not None:
            try:
                raise failure
            finally:
                # It knows this frame by its traceback, so only the collector would free what both know.
                failure = None
        return cast("Response", response)


async def _leave(generator: _Generator, failure: BaseException | None) -> BaseException | None:
    """Let a dependency that yielded come to its end.

    Args:
        failure: What ended the request, which is raised where it yielded.

    Returns:
        What ends the request now.
    """
    try:
        if failure is None:
            await anext(generator)
        else:
            await generator.athrow(failure)
        await generator.aclose()
    except StopAsyncIteration:
        return None if failure is None else _defect(f"{generator.__name__} kept an exception to itself", failure)
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return error
    else:
        return _defect(f"{generator.__name__} yielded twice", failure)
    finally:
        # It knows this frame by its traceback, too.
        failure = None


def _count(request: Request, response: Response, results: Iterable[Any]) -> None:
    """Count the bytes of an answer that will wait to be sent, whatever has made it.

    Raises:
        NeedsRoom: There is none, and what was read can be read again.
    """
    # One that is sent page by page has asked for what it takes.
    content = getattr(response, "body", None)
    if content is not None and (len(content) > TIGHT or ROOM_KEY in request.scope):
        room_of(request, _user_id(results)).settle(len(content), may_wait=request.method == "GET")


def _user_id(results: Iterable[Any]) -> str:
    """Who the caller is, as far as the steps up to now know one."""
    return next((result.owner.user_id for result in results if isinstance(result, Caller)), "")


def _defect(sentence: str, cause: BaseException | None) -> RuntimeError:
    error = RuntimeError(sentence)
    error.__cause__ = cause
    return error


def _function(call: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when `call` is called, which tells how: below a partial, or the method of an object."""
    while isinstance(call, functools.partial):
        call = call.func
    if inspect.isroutine(call) or inspect.isclass(call):
        return call
    function: Callable[..., Any] = type(call).__call__
    return function


def _overridden(dependant: Dependant, overrides: dict[Any, Any], path: str) -> Dependant:
    """The same tree with every overridden dependency replaced, as FastAPI replaces it."""
    replaced = []
    for sub in dependant.dependencies:
        call = overrides.get(sub.call)
        chosen = sub if call is None else get_dependant(path=path, call=call, name=sub.name, scope=sub.scope)
        replaced.append(_overridden(chosen, overrides, path))
    copy = Dependant(**{name: getattr(dependant, name) for name in Dependant.__slots__})
    copy.dependencies = replaced
    return copy
