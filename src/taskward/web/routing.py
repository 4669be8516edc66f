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

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIRoute, _effective_route_context_var

from taskward.deadlines import Deadlines
from taskward.errors import Unavailable
from taskward.web.reading import RequestReader

Arguments = dict[str, Any]


class SessionRoute(APIRoute):
    """A route whose endpoint runs by a plan made from its signature.

    An endpoint is a coroutine function that returns a `Response`. Its dependencies may be coroutine functions, plain
    functions that do not block, and async generators.

    Raises:
        TypeError: At declaration, when the signature asks for something that a plan does not do.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        # Included into another router, the route is made anew with that one's prefix and dependencies as well, and
        # FastAPI has no other way to tell a route class of it.
        included = _effective_route_context_var.get()
        route = self if included is None or included.original_route is not self else included
        dependant = route.dependant
        path = route.path_format
        plan = _Plan(dependant)

        async def handle(request: Request) -> Response:
            overrides = request.app.dependency_overrides
            chosen = _Plan(_overridden(dependant, overrides, path)) if overrides else plan
            return await chosen.run(request)

        return handle


@dataclass(slots=True)
class _Step:
    """One dependency, or the endpoint: how it is called and where its arguments come from."""

    call: Callable[..., Any]
    earlier: tuple[tuple[str, int], ...]
    request_names: tuple[str, ...]
    parameters: bool

    @property
    def is_generator(self) -> bool:
        return inspect.isasyncgenfunction(_function(self.call))

    @property
    def is_coroutine(self) -> bool:
        return inspect.iscoroutinefunction(_function(self.call))

    def gather(self, request: Request, results: list[Any], read: Arguments) -> Arguments:
        arguments = dict(read)
        for name, index in self.earlier:
            arguments[name] = results[index]
        for name in self.request_names:
            arguments[name] = request
        return arguments


class _Plan:
    """A signature, read once."""

    def __init__(self, endpoint: Dependant) -> None:
        if not inspect.iscoroutinefunction(endpoint.call):
            raise TypeError(f"{endpoint.call} is not a coroutine function")
        self._steps: list[_Step] = []
        self._dependants: list[Dependant] = []
        self._index: dict[Any, int] = {}
        self._add(endpoint)
        self._reader = RequestReader(self._dependants)
        ready: set[int] = set()
        for index, step in enumerate(self._steps):
            if not (step.parameters or step.is_generator) and all(i in ready for _, i in step.earlier):
                ready.add(index)
        last = len(self._steps) - 1
        ready.discard(last)
        self._before = [self._runner(index) for index in sorted(ready)]
        self._after = [self._runner(index) for index in range(last) if index not in ready]
        self._endpoint = self._steps[last]

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
        self._steps.append(_Step(call, earlier, tuple(name for name in names if name), parameters))
        self._dependants.append(dependant)
        self._index[call] = len(self._steps) - 1
        return self._index[call]

    def _runner(self, index: int) -> Callable[..., Awaitable[None]]:
        step = self._steps[index]
        if step.is_generator:
            manager = asynccontextmanager(step.call)

            async def run(request: Request, results: list[Any], read: list[Arguments], stack: AsyncExitStack) -> None:
                arguments = step.gather(request, results, read[index])
                results[index] = await stack.enter_async_context(manager(**arguments))

        elif step.is_coroutine:

            async def run(request: Request, results: list[Any], read: list[Arguments], stack: AsyncExitStack) -> None:  # noqa: ARG001 - one signature
                results[index] = await step.call(**step.gather(request, results, read[index]))

        else:

            async def run(request: Request, results: list[Any], read: list[Arguments], stack: AsyncExitStack) -> None:  # noqa: ARG001 - one signature
                results[index] = step.call(**step.gather(request, results, read[index]))

        return run

    async def run(self, request: Request) -> Response:
        results: list[Any] = [None] * len(self._steps)
        nothing: list[Arguments] = [{}] * len(self._steps)
        for runner in self._before:
            await runner(request, results, nothing, None)
        deadlines: Deadlines = request.app.state.deadlines
        read = await self._reader.read(request, deadlines)
        task = cast("asyncio.Task[Response]", asyncio.current_task())
        deadline = deadlines.start(task.cancel)
        try:
            async with AsyncExitStack() as stack:
                for runner in self._after:
                    await runner(request, results, read, stack)
                response = await self._endpoint.call(**self._endpoint.gather(request, results, read[-1]))
                # A limit that struck during COMMIT could not tell whether the change was written.
                deadline.end()
            return cast("Response", response)
        except asyncio.CancelledError:
            if deadline.expired:
                task.uncancel()
                raise Unavailable from None
            raise
        finally:
            deadline.end()


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
