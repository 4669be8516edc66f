"""How an endpoint runs: by a plan that is made of its signature once, when its route is declared.

FastAPI solves an endpoint's dependencies anew on every request, which costs about as much as the query. A plan also
fixes the order that the API promises:

1. Dependencies without parameters of their own, such as the identity, run: 401 comes before the body is looked at.
2. Body and parameters are validated together: 406 408 413 415 400 422.
3. The other dependencies run, those that `yield`, such as the session, among them.
4. The endpoint runs. Then what yielded is left, so a transaction is committed before the first byte of the answer.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import AsyncGeneratorType, TracebackType
from typing import Any, cast

from fastapi import Request, Response

from taskward.errors import OutcomeUnknown, Unavailable
from taskward.http.entering import managers_of
from taskward.http.framework import Dependant
from taskward.http.reading import ReceivedBody, RequestReader
from taskward.http.sending import ROOM_KEY, room_of
from taskward.http.services import services
from taskward.http.spooling import SpooledBody
from taskward.identity import Caller
from taskward.runtime.timeouts import LIMIT_KEY, Expired, Timeout
from taskward.runtime.unsent import TIGHT, NeedsRoom

_REQUEST = 0
"""The place of the request among the values of a plan."""


@dataclass(slots=True)
class _Step:
    """One dependency, or the endpoint.

    Attributes:
        call: Takes its arguments in their order.
        arguments: Picks them out of all values.
        place: The place of its result among all values.
        is_manager: Whether it makes a context manager. Its result is then the value that entering the manager gives.
    """

    call: Callable[..., Any]
    arguments: Callable[[list[Any]], Sequence[Any]]
    place: int
    is_coroutine: bool
    is_manager: bool


class Plan:
    """The steps by which an endpoint runs. One list holds the values that they take and give, each at its own place.

    Args:
        produced: The media type of the answer.
    """

    def __init__(self, endpoint: Dependant, produced: str) -> None:
        if not inspect.iscoroutinefunction(endpoint.call):
            raise TypeError(f"{endpoint.call} is not a coroutine function")
        self._steps: list[_Step] = []
        self._declared: list[tuple[Dependant, Mapping[str, int]]] = []
        self._places = itertools.count(_REQUEST + 1)
        self._place_of: dict[Any, int] = {}
        self._ready = {_REQUEST}
        self._add(endpoint)
        self._reader = RequestReader(self._declared, next(self._places), produced)
        *dependencies, self._endpoint = self._steps
        self._before = [step for step in dependencies if step.place in self._ready]
        self._after = [step for step in dependencies if step.place not in self._ready]

    def _add(self, dependant: Dependant) -> int:
        """Add the steps of a dependency, after those that it depends on, unless they were added before.

        Returns:
            The place of its result.
        """
        call = cast("Callable[..., Any]", dependant.call)
        if call in self._place_of and dependant.use_cache:
            return self._place_of[call]
        unsupported = (
            dependant.response_param_name,
            dependant.background_tasks_param_name,
            dependant.security_scopes_param_name,
            dependant.websocket_param_name,
        )
        # Scope "request" is FastAPI's for what stays open until the answer is sent.
        if any(unsupported) or inspect.isgeneratorfunction(_function(call)) or dependant.scope == "request":
            raise TypeError(f"{call} asks for something that PrecompiledRoute does not give")
        places = {sub.name: self._add(sub) for sub in dependant.dependencies if sub.name}
        for sub in dependant.dependencies:
            if not sub.name:
                self._add(sub)
        names = (dependant.request_param_name, dependant.http_connection_param_name)
        places |= {name: _REQUEST for name in names if name}
        for fields in (
            dependant.path_params,
            dependant.query_params,
            dependant.header_params,
            dependant.cookie_params,
            dependant.body_params,
        ):
            places |= {field.name: next(self._places) for field in fields}
        place = next(self._places)
        is_generator = inspect.isasyncgenfunction(_function(call))
        if not is_generator and self._ready.issuperset(places.values()):
            self._ready.add(place)
        makes = managers_of(call)
        in_order, order = _in_order(makes or call, places)
        if is_generator and makes is None:
            in_order = functools.partial(_Yielding, in_order)
        is_coroutine = inspect.iscoroutinefunction(_function(call))
        self._steps.append(_Step(in_order, _picking(order), place, is_coroutine, is_manager=is_generator))
        self._declared.append((dependant, places))
        self._place_of[call] = place
        return place

    async def run(self, request: Request) -> Response:
        values = self._reader.defaults.copy()
        values[_REQUEST] = request
        for step in self._before:
            value = step.call(*step.arguments(values))
            values[step.place] = await value if step.is_coroutine else value
        shared = services(request)
        timeouts, work = shared.timeouts, shared.long_work
        user_id = _user_id(values)
        # From now on long work gives way, also while the body comes.
        is_short = self._reader.announces_little(request)
        work.short += is_short
        try:
            body = await self._reader.receive(request, timeouts, user_id)
            is_long = self._reader.is_long(request, body)
            if is_short and is_long:
                work.ended()
            elif not is_short and not is_long:
                work.short += 1
            is_short = not is_long
            try:
                with timeouts.limit() as deadline:
                    request.scope[LIMIT_KEY] = deadline
                    return await self._answer_in_turn(request, values, body, deadline, user_id, is_long=is_long)
            except Expired:
                problem = OutcomeUnknown if deadline.in_doubt else Unavailable
                raise problem(reason=f"it took longer than {timeouts.seconds:g} s") from None
            finally:
                if isinstance(body, SpooledBody):
                    body.close()
        finally:
            if is_short:
                work.ended()

    async def _answer_in_turn(
        self,
        request: Request,
        values: list[Any],
        body: ReceivedBody,
        deadline: Timeout,
        user_id: str,
        *,
        is_long: bool,
    ) -> Response:
        """Answer when no other long work of the user is under way, or at once if this is not long. Where there was no
        room for the answer, answer again when there is.
        """
        work = services(request).long_work
        while True:
            try:
                if is_long:
                    async with work.of(user_id):
                        return await self._answer(request, values, body, deadline)
                return await self._answer(request, values, body, deadline)
            except NeedsRoom as needs:
                size = needs.size
            # What was entered has been left, so nobody waits with a connection or the user's turn in his hands.
            if is_long:
                await room_of(request, user_id).ask(size)
                continue
            work.ended()
            try:
                await room_of(request, user_id).ask(size)
            finally:
                work.short += 1

    async def _answer(self, request: Request, values: list[Any], body: ReceivedBody, deadline: Timeout) -> Response:
        await self._reader.read(request, body, values)
        entered: list[AbstractAsyncContextManager[Any]] = []
        failure: BaseException | None = None
        try:
            for step in self._after:
                value = step.call(*step.arguments(values))
                if step.is_manager:
                    values[step.place] = await value.__aenter__()
                    entered.append(value)
                else:
                    values[step.place] = await value if step.is_coroutine else value
            response = await self._endpoint.call(*self._endpoint.arguments(values))
            _count(request, response, values)
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
                # The exception refers to this frame by its traceback. If the frame kept it, only the garbage collector
                # would free the two.
                failure = None
        return cast("Response", response)


async def _leave(manager: AbstractAsyncContextManager[Any], failure: BaseException | None) -> BaseException | None:
    """Leave a context manager.

    Args:
        failure: The exception that ended the request. It ends the request even if the manager suppresses it.

    Returns:
        The exception that ends the request now.
    """
    try:
        if failure is None:
            await manager.__aexit__(None, None, None)
        else:
            await manager.__aexit__(type(failure), failure, failure.__traceback__)
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return error
    else:
        return failure
    finally:
        # It knows this frame by its traceback, too.
        failure = None


class _Yielding:
    """A dependency that yields and was not made by `yields`, as a context manager.

    `asynccontextmanager` takes a quarter longer, and does not tell that a dependency kept an exception to itself.
    """

    def __init__(self, call: Callable[..., AsyncGeneratorType[Any, None]], *arguments: Any) -> None:
        self._generator = call(*arguments)

    async def __aenter__(self) -> Any:
        try:
            return await anext(self._generator)
        except StopAsyncIteration as error:
            raise RuntimeError(f"{self._generator.__name__} did not yield") from error

    async def __aexit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            if failure is None:
                await anext(self._generator)
            else:
                await self._generator.athrow(failure)
            await self._generator.aclose()
        except StopAsyncIteration:
            if failure is None:
                return
            raise RuntimeError(f"{self._generator.__name__} kept an exception to itself") from failure
        else:
            raise RuntimeError(f"{self._generator.__name__} yielded twice") from failure
        finally:
            # As in `_leave`.
            failure = None


def _count(request: Request, response: Response, values: Iterable[Any]) -> None:
    """Count the bytes of an answer among those that wait to be sent.

    Raises:
        NeedsRoom: There is none, and what was read can be read again.
    """
    # An answer that is sent page by page has asked for its room already.
    content = getattr(response, "body", None)
    if content is not None and (len(content) > TIGHT or ROOM_KEY in request.scope):
        room_of(request, _user_id(values)).settle(len(content), may_wait=request.method == "GET")


def _user_id(values: Iterable[Any]) -> str:
    """The caller's id, or an empty one as long as no step has found the caller."""
    for value in values:
        if isinstance(value, Caller):
            return value.user_id
    return ""


def _in_order(call: Callable[..., Any], places: Mapping[str, int]) -> tuple[Callable[..., Any], list[int]]:
    """Let a function that is called by names be called by positions.

    Args:
        places: The place of each argument among all values, by the argument's name.

    Returns:
        A function that takes positional arguments, and the places of these.
    """
    code = getattr(call, "__code__", None)
    names = () if code is None else code.co_varnames[: code.co_argcount]
    if set(names) == places.keys():
        return call, [places[name] for name in names]

    def by_name(*arguments: Any) -> Any:
        return call(**dict(zip(places, arguments, strict=True)))

    return by_name, list(places.values())


def _picking(places: Sequence[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """Make a function that picks the values at some places, in this order."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    # With one place, `itemgetter` would give the value itself.
    return operator.itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def _function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Find the function that runs when `call` is called, below a partial or as an object's method, to see its kind."""
    while isinstance(call, functools.partial):
        call = call.func
    if inspect.isroutine(call) or inspect.isclass(call):
        return call
    function: Callable[..., Any] = type(call).__call__
    return function
