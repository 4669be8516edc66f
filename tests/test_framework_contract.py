"""What `http/framework.py`, the route class and the app need of FastAPI, Starlette and Pydantic beyond what these
document. A test that fails here says what has moved.
"""

import asyncio
import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from taskward.http import framework
from taskward.http.responses import Answer


def _value(n: Annotated[int, Query(ge=1)], b: Annotated[list[int] | None, Body()] = None) -> None:
    """An endpoint with a parameter and a body."""


def _route(path: str = "/", endpoint: Any = _value, **options: Any) -> APIRoute:
    return APIRoute(path, endpoint, methods=["POST"], **options)


async def _send(app: Any, path: str = "/", *, method: str = "GET", **scope: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in received:
            return message
        await asyncio.Event().wait()  # the client stays
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], **scope}
    await app(whole, receive, send)
    return sent


def test_a_route_is_described_by_a_dependant():
    dependant = _route().dependant
    assert isinstance(dependant, Dependant), "FastAPI no longer describes a route's signature by a Dependant"
    moved = "FastAPI's Dependant no longer has {}, by which a signature is read"
    for name in (
        "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies", "name", "call",
        "use_cache", "scope", "request_param_name", "http_connection_param_name", "response_param_name",
        "background_tasks_param_name", "security_scopes_param_name", "websocket_param_name",
    ):  # fmt: skip
        assert hasattr(dependant, name), moved.format(name)
    assert [field.name for field in dependant.query_params] == ["n"], "a query parameter is listed somewhere else"
    assert [field.name for field in dependant.body_params] == ["b"], "a body is listed somewhere else"


def test_a_dependant_is_copied_by_its_slots():
    dependant = _route().dependant
    members = {name: getattr(dependant, name) for name in Dependant.__slots__}
    assert Dependant(**members) == dependant, "a Dependant has more than its slots say, and a copy would lack it"


def test_a_dependency_is_overridden_with_all_that_the_other_one_asks_for():
    def inner() -> str:
        return "inner"

    def other(value: Annotated[str, Depends(inner)], m: int) -> str:
        return f"{value}{m}"

    def plain() -> str:
        return "plain"

    async def endpoint(value: Annotated[str, Depends(plain)]) -> None:
        """An endpoint with a dependency."""

    dependant = _route(endpoint=endpoint).dependant
    (found,) = framework.overridden(dependant, {plain: other}, "/").dependencies
    assert (found.call, found.name) == (other, "value"), "get_dependant describes a dependency otherwise"
    assert [sub.call for sub in found.dependencies] == [inner], "get_dependant leaves out what a dependency depends on"
    assert [field.name for field in found.query_params] == ["m"], "get_dependant leaves out a dependency's parameters"
    assert dependant.dependencies[0].call is plain, "an override changes the dependency that it replaces"


@pytest.mark.parametrize("nested", [False, True])
def test_a_route_class_learns_of_the_router_that_it_is_included_into(*, nested: bool):
    def guard() -> None:
        """A dependency of the outer router."""

    seen: list[Any] = []

    class Seeing(APIRoute):
        def get_route_handler(self) -> Any:
            seen.append(framework.as_included(self))
            return super().get_route_handler()

    router = APIRouter(route_class=Seeing)
    router.add_api_route("/x", _value, methods=["POST"])
    assert [route.path_format for route in seen] == ["/x"], "a route is no longer itself until it is included"
    app = FastAPI()
    if nested:
        outer = APIRouter()
        outer.include_router(router, dependencies=[Depends(guard)])
        app.include_router(outer, prefix="/v2")
    else:
        app.include_router(router, prefix="/v2", dependencies=[Depends(guard)])
    # FastAPI may make the handlers when it first looks for a route.
    for route in app.routes:
        route.matches({"type": "http", "method": "POST", "path": "/v2/x", "headers": []})
    last = seen[-1]
    assert last.path_format == "/v2/x", "FastAPI tells a route class no longer which prefix an included route has"
    calls = [sub.call for sub in last.dependant.dependencies]
    assert calls == [guard], "FastAPI tells a route class no longer which dependencies an including router adds"


def test_a_parameter_has_a_validator_that_is_built():
    (field,) = _route().dependant.query_params
    validate = framework.validator_of(field)
    assert validate("3") == 3, "FastAPI keeps the validator of a parameter somewhere else than in _type_adapter"
    with pytest.raises(ValidationError) as refused:
        validate("0")
    assert refused.value.errors()[0]["type"] == "greater_than_equal", "a parameter's constraints are checked elsewhere"
    assert not field.field_info.is_required() or field.alias == "n", "a parameter's name is no longer its alias"


async def test_a_body_that_is_kept_is_what_a_request_gives():
    async def receive() -> Any:
        raise AssertionError("Starlette keeps a body that was received somewhere else than in _body")

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    assert framework.body_at_hand(request) is None, "a request has a body before one was received"
    framework.keep_body(request, b"kept")
    assert await request.body() == b"kept"
    assert framework.body_at_hand(request) == b"kept"


async def test_a_body_that_was_read_is_at_hand():
    async def receive() -> Any:
        return {"type": "http.request", "body": b"read", "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    await request.body()
    assert framework.body_at_hand(request) == b"read", (
        "Starlette keeps a body that was read somewhere else than in _body"
    )


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a/b"}, "/a/b"),
        ({"path": "/a/b", "root_path": "/a"}, "/b"),
        ({"path": "/b", "root_path": "/a"}, "/b"),
    ],
)
def test_a_routes_path_is_below_the_root_path(scope: dict[str, Any], path: str):
    assert framework.get_route_path(scope) == path, "Starlette takes the root path off otherwise than when it routes"


def test_a_route_has_a_pattern_and_convertors():
    async def read(name: str) -> None:
        """An endpoint with a parameter in its path."""

    fixed, pattern = _route("/x"), _route("/x/{name}", read)
    assert not fixed.param_convertors, "a route with a fixed path has convertors"
    assert pattern.param_convertors, "Starlette keeps the convertors of a path somewhere else than in param_convertors"
    found = pattern.path_regex.match("/x/1")
    assert found, "a route's pattern is no longer its path_regex"
    assert found.groupdict() == {"name": "1"}, "a parameter is a group of another name in a route's pattern"
    assert fixed.methods == {"POST"}, "a route's methods are somewhere else"


async def test_a_route_answers_by_its_app():
    async def read(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "answered"})

    route = _route("/x")
    route.app = read
    sent = await _send(route.handle, "/x", method="POST")
    assert sent == [{"type": "answered"}], "FastAPI answers a route by something else than its `app`"


def test_whether_a_handler_is_a_coroutine_function_is_told():
    async def slow() -> None:
        """A handler."""

    assert framework.is_async_callable(slow), "Starlette takes a coroutine function for a plain one"
    assert not framework.is_async_callable(lambda: None), "Starlette takes a plain function for a coroutine function"


async def test_handlers_of_an_outer_app_are_taken_from_the_scope():
    app = FastAPI()
    found: list[Any] = []

    @app.get("/")
    async def read() -> Response:
        raise LookupError

    def outer(*_arguments: Any) -> Response:
        found.append("outer")
        return Response()

    whole: dict[str, Any] = {"starlette.exception_handlers": ({LookupError: outer}, {})}
    await _send(framework.AsyncExitStackMiddleware(app.router), **whole)
    assert found == ["outer"], "Starlette keeps the handlers of exceptions somewhere else in a scope"
    framework.without_outer_handlers(whole)
    with pytest.raises(LookupError):
        await _send(framework.AsyncExitStackMiddleware(app.router), **whole)


async def test_an_app_builds_its_layers_when_it_first_serves():
    class App(FastAPI):
        def build_middleware_stack(self) -> Any:
            built.append(self.user_middleware)
            return super().build_middleware_stack()

    built: list[Any] = []
    app = App()
    app.add_middleware(Layer, mark="x")
    assert app.middleware_stack is None, "an app's layers are there before it serves"
    await _send(app)
    assert built, "FastAPI no longer asks build_middleware_stack for its layers"
    assert app.middleware_stack is not None, "FastAPI keeps its layers somewhere else than in middleware_stack"
    (layer,) = built[0]
    assert isinstance(layer, Middleware), "user_middleware has something else than Middleware"
    assert (layer.cls, layer.args, layer.kwargs) == (Layer, (), {"mark": "x"}), "a Middleware has other members"


class Layer:
    def __init__(self, app: Any, mark: str) -> None:
        self._app = app
        self.mark = mark

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def test_an_app_can_be_without_telemetry():
    parameters = inspect.signature(FastAPI.__init__).parameters
    assert "telemetry" in parameters, "FastAPI no longer lets an app switch its telemetry off in this way"


async def test_an_answer_needs_four_members():
    """`Answer` leaves out Starlette's own construction."""
    sent = await _send(Answer(b"body", 201, [(b"x", b"y")]))
    start, body = sent
    assert (start["status"], start["headers"]) == (201, [(b"x", b"y")]), "a response sends its head from other members"
    assert body["body"] == b"body", "a response sends its body from another member"


async def test_a_file_is_sent_in_pieces_of_a_chosen_size(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    made: list[Response] = []

    class Files(StaticFiles):
        def file_response(self, *arguments: Any, **options: Any) -> Response:
            response = super().file_response(*arguments, **options)
            made.append(response)
            assert isinstance(response, FileResponse), "StaticFiles answers with something else than a FileResponse"
            response.chunk_size = 4
            return response

    sent = await _send(Files(directory=tmp_path), "/file")
    assert made, "StaticFiles no longer makes its answers by file_response"
    pieces = [len(message["body"]) for message in sent if message["type"] == "http.response.body"]
    assert [size for size in pieces if size] == [4, 4, 2], "a FileResponse takes its size of pieces from elsewhere"


async def test_a_request_finds_the_state_that_was_put_into_its_app():
    app, state = FastAPI(), object()
    framework.put_state(app, state)
    found: list[Any] = []

    @app.get("/")
    async def read(request: Request) -> Response:
        found.extend((request.app.state, request.scope["app"].state))
        return Response()

    await _send(app)
    assert found == [state, state], "FastAPI keeps its state somewhere else than in `state`, or no app in a scope"
