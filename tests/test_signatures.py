"""Signatures that `PrecompiledRoute` takes, and those that it refuses when they are declared, not misread later."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Body, Cookie, Depends, File, Form, Request, Response, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from pydantic import BaseModel

# ruff: noqa: ARG001 - the signatures are what is tested
from tests.test_routing import make_app, make_router, send


class Note(BaseModel):
    text: str


def generator() -> Iterator[int]:
    yield 1


class CallableGenerator:
    def __call__(self) -> Iterator[int]:
        yield 1


async def takes_response(response: Response) -> None: ...
async def takes_tasks(tasks: BackgroundTasks) -> None: ...
async def takes_scopes(scopes: SecurityScopes) -> None: ...
async def takes_cookie(session: Annotated[str, Cookie()]) -> None: ...
async def takes_body(note: Note) -> None: ...
async def nested(value: Annotated[None, Depends(takes_response)]) -> None: ...
async def opened() -> AsyncIterator[int]:
    yield 1


async def endpoint_with_response(response: Response) -> Response:
    return response


async def endpoint_with_tasks(tasks: BackgroundTasks) -> Response:
    return Response()


async def endpoint_with_socket(socket: WebSocket) -> Response:
    return Response()


async def endpoint_with_two_bodies(a: Note, b: Note) -> Response:
    return Response()


async def endpoint_with_bodies_apart(a: Note, b: Annotated[None, Depends(takes_body)]) -> Response:
    return Response()


async def endpoint_with_embedded_body(a: Annotated[Note, Body(embed=True)]) -> Response:
    return Response()


async def endpoint_with_form(a: Annotated[str, Form()]) -> Response:
    return Response()


async def endpoint_with_file(a: Annotated[bytes, File()]) -> Response:
    return Response()


def plain_endpoint() -> Response:
    return Response()


async def streaming_endpoint() -> AsyncIterator[Response]:
    yield Response()


async def fine() -> Response:
    return Response("fine")


REFUSED_ENDPOINTS = [
    endpoint_with_response, endpoint_with_tasks, endpoint_with_socket, endpoint_with_two_bodies,
    endpoint_with_bodies_apart, endpoint_with_embedded_body, endpoint_with_form, endpoint_with_file,
    plain_endpoint, streaming_endpoint,
]  # fmt: skip
REFUSED_DEPENDENCIES: dict[str, Any] = {
    "generator": generator,
    "callable generator": CallableGenerator(),
    "partial generator": functools.partial(generator),
    "response": takes_response,
    "background tasks": takes_tasks,
    "scopes": takes_scopes,
    "cookie": takes_cookie,
    "nested": nested,
}


@pytest.mark.parametrize("endpoint", REFUSED_ENDPOINTS)
def test_an_endpoint_that_asks_for_more_than_a_plan_does_is_refused_at_declaration(endpoint: Any):
    # FastAPI itself raises the other one for a form where it could not read one.
    with pytest.raises((TypeError, RuntimeError)):
        make_router().add_api_route("/", endpoint, methods=["POST"], response_model=None)


@pytest.mark.parametrize("kind", REFUSED_DEPENDENCIES)
def test_a_dependency_that_asks_for_more_than_a_plan_does_is_refused_at_declaration(kind: str):
    with pytest.raises(TypeError):
        make_router().add_api_route("/", fine, dependencies=[Depends(REFUSED_DEPENDENCIES[kind])])


def test_a_dependency_that_would_stay_open_beyond_the_answer_is_refused():
    with pytest.raises(TypeError):
        make_router().add_api_route("/", fine, dependencies=[Depends(opened, scope="request")])


class AsyncCallable:
    async def __call__(self) -> str:
        return "async callable"


class PlainCallable:
    def __call__(self) -> str:
        return "plain callable"


class OpenedCallable:
    def __init__(self) -> None:
        self.left = False

    async def __call__(self) -> AsyncIterator[str]:
        yield "opened callable"
        self.left = True


async def with_argument(value: str) -> str:
    return value


async def partial_opened(value: str) -> AsyncIterator[str]:
    yield value


@pytest.mark.parametrize(
    ("dependency", "result"),
    [
        (AsyncCallable(), "async callable"),
        (PlainCallable(), "plain callable"),
        (OpenedCallable(), "opened callable"),
        (functools.partial(with_argument, value="partial"), "partial"),
        (functools.partial(partial_opened, value="opened partial"), "opened partial"),
        (lambda: "lambda", "lambda"),
    ],
)
async def test_a_dependency_may_be_anything_that_can_be_called(dependency: Any, result: str):
    router = make_router()

    @router.get("/")
    async def read(value: Annotated[Any, Depends(dependency)]) -> Response:
        return Response(value)

    response = await send(make_app(router))
    assert (response.status_code, response.text) == (200, result)
    assert getattr(dependency, "left", True)


async def test_a_request_and_a_connection_are_given_where_asked_for():
    router = make_router()

    @router.get("/")
    async def read(request: Request, connection: HTTPConnection) -> Response:
        return Response(f"{request.method} {connection.url.path}")

    assert (await send(make_app(router))).text == "GET /"


async def test_a_wrong_path_parameter_is_422():
    router = make_router()

    @router.get("/{number}")
    async def read(number: int) -> Response:
        return Response(str(number))

    app = make_app(router)
    assert (await send(app, path="/7")).text == "7"
    wrong = await send(app, path="/x")
    assert wrong.status_code == 422
    assert [(e["in"], e["pointer"]) for e in wrong.json()["errors"]] == [("path", "/number")]
