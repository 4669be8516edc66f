"""`PrecompiledRoute`, through apps of a few lines: what runs in which order, and what is refused at declaration."""

import asyncio
import contextlib
import functools
import gc
import inspect
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel
from starlette.routing import Route

from taskward.errors import NotAuthenticated
from taskward.http import problems
from taskward.http.entering import yields
from taskward.http.failures import Failures
from taskward.http.reading import LARGEST_BODY
from taskward.http.routing import PrecompiledRoute, RouteIndex
from taskward.runtime.fairness import LongWork
from taskward.runtime.timeouts import Timeouts
from taskward.runtime.unsent import NeedsRoom, Unsent
from tests.serving import NO_TLS


class Note(BaseModel):
    text: str


Log = list[str]


def make_router() -> APIRouter:
    return APIRouter(route_class=PrecompiledRoute)


def make_app(*routers: APIRouter) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.state.timeouts = Timeouts(5)
    app.state.long_work = LongWork()
    for router in routers:
        app.router.routes.extend(router.routes)
    problems.install(app)
    return app


async def send(app: FastAPI, method: str = "GET", path: str = "/", **request: Any) -> httpx2.Response:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", verify=NO_TLS) as client:
        return await client.request(method, path, **request)


def staged(log: Log, *, refuse: bool = False) -> FastAPI:
    async def who() -> str:
        log.append("identity")
        if refuse:
            raise NotAuthenticated
        return "alice"

    async def session(user: Annotated[str, Depends(who)]) -> AsyncIterator[str]:
        log.append(f"open for {user}")
        try:
            yield f"session of {user}"
        except BaseException as error:
            log.append(f"roll back for {type(error).__name__}")
            raise
        log.append("commit")

    def store(session: Annotated[str, Depends(session)]) -> str:
        log.append(f"store on {session}")
        return "store"

    router = make_router()

    @router.post("/")
    async def create(
        note: Note,
        store: Annotated[str, Depends(store)],
        user: Annotated[str, Depends(who)],
        n: Annotated[int, Query()] = 1,
    ) -> Response:
        log.append(f"{note.text} {n} by {user} in {store}")
        if note.text == "broken":
            raise LookupError
        return Response("made", 201)

    return make_app(router)


async def test_a_request_runs_through_the_stages_in_order(log: Log):
    app = staged(log)

    async def sending(message: Any) -> None:
        log.append(message["type"])

    async def receive() -> dict[str, Any]:
        log.append("body")
        return {"type": "http.request", "body": b'{"text": "hello"}'}

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"n=2", "headers": headers}
    await app(scope, receive, sending)
    assert log == [
        "identity", "body", "open for alice", "store on session of alice", "hello 2 by alice in store", "commit",
        "http.response.start", "http.response.body",
    ]  # fmt: skip


@pytest.fixture
def log() -> Log:
    return []


async def test_without_an_identity_nothing_else_runs(log: Log):
    assert (await send(staged(log, refuse=True), "POST", content=b"{")).status_code == 401
    assert log == ["identity"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [({"content": b"{"}, 415), ({"json": {}}, 422), ({"json": {"text": "x"}, "params": {"n": "x"}}, 422)],
)
async def test_nothing_is_opened_for_a_request_that_cannot_be_served(log: Log, request_: dict[str, Any], status: int):
    assert (await send(staged(log), "POST", **request_)).status_code == status
    assert log == ["identity"]


async def test_what_yielded_sees_the_exception_of_the_endpoint(log: Log):
    assert (await send(staged(log), "POST", json={"text": "broken"})).status_code == 500
    assert log[-1] == "roll back for LookupError"
    assert "commit" not in log


async def test_a_commit_that_fails_is_no_success():
    async def session() -> AsyncIterator[None]:
        yield
        raise ConnectionError

    router = make_router()

    @router.get("/", dependencies=[Depends(session)])
    async def read() -> Response:
        return Response("fine")

    assert (await send(make_app(router))).status_code == 500


async def test_an_exception_that_a_dependency_swallows_is_no_success():
    async def session() -> AsyncIterator[None]:
        with contextlib.suppress(LookupError):
            yield

    router = make_router()

    @router.get("/", dependencies=[Depends(session)])
    async def read() -> Response:
        raise LookupError

    assert (await send(make_app(router))).status_code == 500


async def test_dependencies_are_left_in_the_reverse_of_the_order_they_were_entered(log: Log):
    def entered(name: str) -> Callable[[], AsyncIterator[None]]:
        async def dependency() -> AsyncIterator[None]:
            log.append(f"+{name}")
            yield
            log.append(f"-{name}")

        return dependency

    router = make_router()

    @router.get("/", dependencies=[Depends(entered("a")), Depends(entered("b"))])
    async def read() -> Response:
        return Response()

    await send(make_app(router))
    assert log == ["+a", "+b", "-b", "-a"]


async def test_a_dependency_runs_once_unless_it_asks_for_more(log: Log):
    def count() -> int:
        log.append("run")
        return len(log)

    once, each = Annotated[int, Depends(count)], Annotated[int, Depends(count, use_cache=False)]
    router = make_router()

    @router.get("/")
    async def read(a: once, b: once, c: each) -> Response:  # type: ignore[valid-type]
        return Response(f"{a}{b}{c}")

    assert (await send(make_app(router))).text == "112"


async def test_overrides_are_honoured_with_parameters_of_their_own(log: Log):
    app = staged(log)
    who = next(r for r in app.routes if isinstance(r, PrecompiledRoute)).dependant.dependencies[1].call
    assert who is not None

    async def impostor(request: Request, x_user: Annotated[str, Header()]) -> str:
        log.append("override")
        return x_user + request.method

    app.dependency_overrides[who] = impostor
    assert (await send(app, "POST", json={"text": "x"}, headers={"X-User": "eve"})).status_code == 201
    assert log == ["override", "open for evePOST", "store on session of evePOST", "x 1 by evePOST in store", "commit"]
    assert (await send(app, "POST", json={"text": "x"})).json()["errors"][0]["pointer"] == "/x-user"
    app.dependency_overrides.clear()
    log.clear()
    await send(app, "POST", json={"text": "x"})
    assert log[0] == "identity"


async def test_an_override_may_yield_and_have_dependencies(log: Log):
    async def plain() -> str:
        return "plain"

    async def inner() -> str:
        return "inner"

    async def opened(value: Annotated[str, Depends(inner)]) -> AsyncIterator[str]:
        yield f"opened {value}"
        log.append("left")

    router = make_router()

    @router.get("/")
    async def read(value: Annotated[str, Depends(plain)]) -> Response:
        return Response(value)

    app = make_app(router)
    app.dependency_overrides = {plain: opened, inner: lambda: "overridden"}
    assert (await send(app)).text == "opened overridden"
    assert log == ["left"]


async def _read() -> Response:
    return Response("read")


@pytest.mark.parametrize("level", ["route", "router", "include", "nested include", "app include", "app"])
async def test_dependencies_run_at_whichever_level_they_are_declared(log: Log, level: str):
    def guard() -> None:
        log.append("guard")
        raise NotAuthenticated

    guards = [Depends(guard)]
    router = APIRouter(route_class=PrecompiledRoute, dependencies=guards if level == "router" else None)
    router.add_api_route("/x", _read, dependencies=guards if level == "route" else None)
    app = FastAPI(dependencies=guards if level == "app" else None)
    app.state.timeouts = Timeouts(5)
    app.state.long_work = LongWork()
    problems.install(app)
    if level == "nested include":
        outer = APIRouter()
        outer.include_router(router, dependencies=guards)
        app.include_router(outer, prefix="/v2")
    elif level == "include":
        outer = APIRouter(prefix="/v2")
        outer.include_router(router, dependencies=guards)
        app.router.routes.extend(outer.routes)
    else:
        app.include_router(router, prefix="/v2", dependencies=guards if level == "app include" else None)
    assert (await send(app, path="/v2/x")).status_code == 401
    assert log == ["guard"]


async def test_an_override_reaches_a_dependency_of_an_included_router(log: Log):
    def guard() -> None:
        raise NotAuthenticated

    router = make_router()
    router.add_api_route("/{name}", _read)
    app = make_app()
    app.include_router(router, prefix="/v2", dependencies=[Depends(guard)])
    assert (await send(app, path="/v2/x")).status_code == 401
    app.dependency_overrides[guard] = lambda: log.append("override")
    assert (await send(app, path="/v2/x")).text == "read"
    assert log == ["override"]


async def test_nobody_waits_for_a_request_that_waits_for_room():
    app, counted = make_app(router := make_router()), []

    class Recording(Unsent):
        async def take(self, user_id: str, size: int) -> None:
            counted.append(app.state.long_work.short)
            await super().take(user_id, size)

    app.state.unsent = Recording(1 << 20, 1 << 20, 5)

    @router.get("/")
    async def read() -> Response:
        counted.append(app.state.long_work.short)
        if len(counted) == 1:
            raise NeedsRoom(1000)
        return Response("read")

    app.router.routes.extend(router.routes)
    assert (await send(app)).text == "read"
    assert (counted, app.state.long_work.short) == ([1, 0, 1], 0)


async def test_a_dependency_that_yields_twice_is_no_success():
    closed: Log = []

    async def twice() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    router = make_router()

    @router.get("/", dependencies=[Depends(twice)])
    async def read() -> Response:
        return Response()

    assert (await send(make_app(router))).status_code == 500
    assert closed == ["closed"]


async def failing_to_end() -> AsyncIterator[int]:
    with contextlib.suppress(LookupError):
        yield 1
    try:
        yield 2
    finally:
        raise OSError


async def swallowing() -> AsyncIterator[int]:
    with contextlib.suppress(LookupError):
        yield 1


async def never() -> AsyncIterator[int]:
    if not contextlib:
        yield 1


@pytest.mark.parametrize("dependency", [failing_to_end, swallowing, never])
async def test_a_dependency_that_breaks_the_rules_keeps_none_from_its_end(
    dependency: Callable[[], AsyncIterator[int]], log: Log
):
    async def session() -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            log.append(f"{type(error).__name__} from {error.__cause__!r}")
            raise

    router = make_router()

    @router.get("/", dependencies=[Depends(session), Depends(dependency)])
    async def read() -> Response:
        raise LookupError("the cause")

    assert (await send(make_app(router))).status_code == 500
    causes = {swallowing: "RuntimeError from LookupError('the cause')", never: "RuntimeError from StopAsyncIteration()"}
    assert log == [causes.get(dependency, "OSError from None")]


class Manager:
    """Writes down how it is entered and left, and by whom: a generator or not."""

    def __init__(self, log: Log, name: str, *, keeps: bool = False, fails: bool = False) -> None:
        self._log = log
        self._name = name
        self._keeps = keeps
        self._fails = fails

    async def __aenter__(self) -> str:
        by_generator = sys._getframe(1).f_code.co_flags & inspect.CO_ASYNC_GENERATOR
        self._log.append(f"+{self._name}{' by a generator' if by_generator else ''}")
        return self._name

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert traceback is (None if error is None else error.__traceback__)
        self._log.append(f"-{self._name} {None if kind is None else kind.__name__}")
        if self._fails:
            raise ConnectionError
        return self._keeps


def managed(log: Log, **options: bool) -> Callable[..., AsyncIterator[str]]:
    async def who() -> str:
        return "alice"

    @yields
    def session(user: Annotated[str, Depends(who)], request: Request) -> Manager:
        return Manager(log, f"{request.method} of {user}", **options)

    return session


def on_managed(session: Callable[..., AsyncIterator[str]], endpoint: Callable[..., Any]) -> FastAPI:
    router = make_router()

    @router.get("/")
    async def read(session: Annotated[str, Depends(session)]) -> Response:
        await endpoint()
        return Response(session)

    return make_app(router)


async def nothing() -> None:
    pass


async def fail() -> None:
    raise LookupError


async def test_what_yields_makes_is_entered_and_left_without_a_generator(log: Log):
    assert (await send(on_managed(managed(log), nothing))).text == "GET of alice"
    assert log == ["+GET of alice", "-GET of alice None"]


async def test_the_framework_runs_what_yields_makes_as_a_generator(log: Log):
    app = FastAPI()

    @app.get("/")
    async def read(session: Annotated[str, Depends(managed(log))]) -> str:
        return session

    assert (await send(app)).json() == "GET of alice"
    assert log == ["+GET of alice by a generator", "-GET of alice None"]


@pytest.mark.parametrize("keeps", [False, True])
async def test_a_manager_sees_the_exception_of_the_endpoint_and_cannot_keep_it(log: Log, keeps: bool):
    assert (await send(on_managed(managed(log, keeps=keeps), fail))).status_code == 500
    assert log == ["+GET of alice", "-GET of alice LookupError"]


async def test_a_manager_that_fails_to_end_is_no_success(log: Log):
    assert (await send(on_managed(managed(log, fails=True), nothing))).status_code == 500


async def test_a_manager_is_left_when_it_takes_too_long(log: Log):
    app = on_managed(managed(log), functools.partial(asyncio.sleep, 60))
    app.state.timeouts = Timeouts(0.05)
    assert (await send(app)).status_code == 503
    assert log == ["+GET of alice", "-GET of alice CancelledError"]


async def test_a_manager_is_left_when_the_request_is_cancelled(log: Log):
    app = on_managed(managed(log), functools.partial(asyncio.sleep, 60))
    task = asyncio.create_task(send(app))
    while not log:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["+GET of alice", "-GET of alice CancelledError"]


async def test_managers_and_generators_are_left_in_the_reverse_of_the_order_they_were_entered(log: Log):
    session = managed(log)

    async def inner(session: Annotated[str, Depends(session)]) -> AsyncIterator[None]:
        log.append(f"+inner of {session}")
        yield
        log.append("-inner")

    router = make_router()
    router.add_api_route("/", _read, dependencies=[Depends(inner)])
    await send(make_app(router))
    assert log == ["+GET of alice", "+inner of GET of alice", "-inner", "-GET of alice None"]


async def test_an_override_takes_the_place_of_a_manager(log: Log):
    session = managed(log)
    other: Log = []
    app = on_managed(session, nothing)

    async def generator(request: Request) -> AsyncIterator[str]:
        yield f"other {request.method}"
        log.append("left")

    app.dependency_overrides[session] = generator
    assert (await send(app)).text == "other GET"
    app.dependency_overrides[session] = managed(other)
    assert (await send(app)).text == "GET of alice"
    assert (log, other) == (["left"], ["+GET of alice", "-GET of alice None"])


async def test_what_is_put_around_a_dependency_that_yields_makes_is_not_passed_by(log: Log):
    session = managed(log)

    @functools.wraps(session)
    async def around(*arguments: Any, **named: Any) -> AsyncIterator[str]:
        async for value in session(*arguments, **named):
            yield f"around {value}"

    assert (await send(on_managed(around, nothing))).text == "around GET of alice"


async def test_whatever_can_be_called_is_given_its_arguments_by_their_names():
    class Named:
        def __init__(self, request: Request, *, b: str = "c") -> None:
            self.text = f"{request.method}{b}"

        def method(self, b: str, request: Request) -> str:
            return f"{request.method}{b}"

    @functools.wraps(Named.method)
    def wrapped(**named: Any) -> str:
        return f"{named.pop('request').method}{named.pop('b')}{named}"

    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        list(inspect.signature(Named.method).parameters.values())[1:]
    )

    def part(a: str, b: str, request: Request) -> str:
        return f"{a}{request.method}{b}"

    router = make_router()

    @router.get("/")
    async def read(
        made: Annotated[Named, Depends()],
        method: Annotated[str, Depends(Named.__new__(Named).method)],
        wrapped: Annotated[str, Depends(wrapped)],
        part: Annotated[str, Depends(functools.partial(part, "a"))],
        *,
        b: str,
    ) -> Response:
        return Response(f"{made.text} {method} {wrapped} {part} {b}")

    assert (await send(make_app(router), path="/?b=b")).text == "GETb GETb GETb{} aGETb b"


async def test_lines_of_one_header_are_one_list_and_of_what_is_given_once_none_counts():
    router = make_router()

    @router.patch("/")
    async def change(note: Note, x: Annotated[str | None, Header()] = None) -> Response:
        return Response(f"{note.text} {x}")

    async def status(*headers: tuple[str, str]) -> tuple[int, str]:
        given = [("Content-Type", "application/json")] if headers[0][0] != "Content-Type" else []
        answer = await send(make_app(router), "PATCH", content=b'{"text": "x"}', headers=[*given, *headers])
        return answer.status_code, answer.text if answer.status_code == 200 else ""

    assert await status(("X", "1"), ("X", "2")) == (200, "x 1, 2")
    assert await status(("Content-Encoding", "identity"), ("Content-Encoding", "identity")) == (200, "x None")
    assert await status(("Content-Encoding", "identity"), ("Content-Encoding", "gzip")) == (415, "")
    assert await status(("Content-Type", "application/json"), ("Content-Type", "application/json")) == (415, "")
    assert await status(("Accept", "text/html"), ("Accept", "text/plain")) == (406, "")
    assert await status(("Accept", "text/html"), ("Accept", "*/*")) == (200, "x None")


@pytest.mark.parametrize("error", [LookupError, NotAuthenticated])
async def test_a_request_that_fails_leaves_no_garbage(error: type[Exception]):
    async def session() -> AsyncIterator[None]:
        yield

    router = make_router()

    @router.get("/", dependencies=[Depends(session)])
    async def read(request: Request) -> Response:
        requests.append(weakref.ref(request))
        raise error

    requests: list[weakref.ref[Request]] = []
    app = make_app(router)
    index = RouteIndex(app.router, app.routes)
    app.middleware_stack = problems.ErrorBoundary(index, app.exception_handlers, Failures())
    await send(app)
    gc.collect()
    gc.disable()
    try:
        await send(app)
        assert requests[-1]() is None
    finally:
        gc.enable()


async def test_a_body_that_a_dependency_has_read_can_be_read_again():
    async def read_all(request: Request) -> bytes:
        return await request.body()

    router = make_router()

    @router.post("/")
    async def create(note: Note, raw: Annotated[bytes, Depends(read_all)]) -> Response:
        return Response(raw + note.text.encode())

    app = make_app(router)
    assert (await send(app, "POST", json={"text": "x"})).text == '{"text":"x"}x'
    assert (await send(app, "POST", json={"text": "x" * LARGEST_BODY})).status_code == 413


async def test_a_body_without_a_length_is_read_where_it_has_a_type():
    router = make_router()

    @router.post("/")
    async def create(note: Annotated[Note, Body(default_factory=lambda: Note(text="nothing"))]) -> Response:
        return Response(note.text)

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"text": "hello"}'}

    async def take(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/", "query_string": b"", "headers": headers,
    }  # fmt: skip
    await make_app(router)(scope, receive, take)
    assert sent[-1]["body"] == b"hello"


def indexed() -> FastAPI:
    router = make_router()

    @router.get("/things/{thing}")
    async def read_thing(thing: str) -> Response:
        return Response(f"read {thing}")

    @router.post("/things/batch")
    @router.get("/things/batch")
    async def batch() -> Response:
        return Response("batch")

    @router.get("/things")
    async def things() -> Response:
        return Response("things")

    @router.patch("/things/{thing}/done")
    async def done(thing: str) -> Response:
        return Response(f"done {thing}")

    app = make_app(router)

    @app.get("/own/{name}")
    async def own(name: str) -> str:
        return name

    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/things/1"), ("GET", "/things/batch"), ("POST", "/things/batch"), ("PATCH", "/things/1/done"),
        ("PATCH", "/things/1"), ("DELETE", "/things/1"), ("POST", "/things/1"), ("GET", "/things"), ("GET", "/things/"),
        ("GET", "/things/1/2"), ("GET", "/things/%2F"), ("GET", "/things/a%20b"), ("PATCH", "/things//done"),
        ("GET", "/own/x"), ("POST", "/own/x"), ("GET", "/"), ("GET", "/things/1%0A"), ("get", "/things/1"),
    ],
)  # fmt: skip
async def test_the_index_finds_what_the_framework_would(method: str, path: str):
    app = indexed()
    expected = await send(app, method, path)
    app.middleware_stack = RouteIndex(app.build_middleware_stack(), app.routes)
    found = await send(app, method, path)
    assert (found.status_code, found.text) == (expected.status_code, expected.text)


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/things", "things"), ("GET", "/things/1", "read 1"), ("POST", "/things/batch", "batch"),
        ("PATCH", "/things/1/done", "done 1"),
        # The framework goes by the order of declaration.
        ("GET", "/things/batch", "read batch"),
    ],
)  # fmt: skip
async def test_the_index_finds_the_apis_routes_by_itself(method: str, path: str, answer: str):
    async def missed(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("it asked the framework")

    app = indexed()
    app.middleware_stack = RouteIndex(missed, app.routes)
    assert (await send(app, method, path)).text == answer


def test_the_index_knows_every_route_of_the_service(app: FastAPI):
    kinds = [isinstance(route, PrecompiledRoute) for route in app.routes]
    assert kinds == sorted(kinds, reverse=True)
    assert sum(kinds) > 8


async def test_the_index_overtakes_no_route_of_an_embedding_app():
    async def guard(_request: Request) -> Response:
        return Response(status_code=403)

    app = indexed()
    app.router.routes.insert(0, Route("/things/1", guard))
    app.middleware_stack = RouteIndex(app.build_middleware_stack(), app.routes)
    assert (await send(app, path="/things/1")).status_code == 403
    assert (await send(app, path="/things/2")).text == "read 2"
