"""The one net around all routes: an embedding app's handlers, handlers that fail, answers that have begun."""

from __future__ import annotations

import threading
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketException

from taskward.app import create_app
from tests.serving import NO_TLS, make_settings

SECRET = "the-row-of-somebody"


class OddError(Exception):
    status_code = [404]  # noqa: RUF012 - as odd as can be


@pytest.fixture
def app() -> FastAPI:
    """Its routes need no database, so its lifespan is not entered."""
    return create_app(make_settings("postgresql://nobody@127.0.0.1:1/nothing"))


async def get(app: FastAPI, path: str = "/raise", method: str = "GET", content: bytes = b"") -> httpx2.Response:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", verify=NO_TLS) as client:
        return await client.request(method, path, content=content)


def raises(app: FastAPI, error: Exception) -> None:
    @app.get("/raise")
    async def fail() -> None:
        raise error


async def asynchronous(_request: Request, _error: Exception) -> Response:
    return Response("handled", 418)


def synchronous(_request: Request, _error: Exception) -> Response:
    return Response("handled", 418)


@pytest.mark.parametrize("handler", [asynchronous, synchronous])
@pytest.mark.parametrize(
    ("key", "error"),
    [(KeyError, KeyError(SECRET)), (LookupError, KeyError(SECRET)), (409, HTTPException(409)), (Exception, OSError())],
)
async def test_an_embedding_app_may_answer_its_own_exceptions(app: FastAPI, handler: Any, key: Any, error: Exception):
    app.add_exception_handler(key, handler)
    raises(app, error)
    response = await get(app)
    assert (response.status_code, response.text) == (418, "handled")
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("error", [OddError(SECRET), KeyError(SECRET)])
async def test_what_nobody_handles_is_a_500_that_tells_nothing(
    app: FastAPI, error: Exception, caplog: pytest.LogCaptureFixture
):
    raises(app, error)
    response = await get(app)
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert SECRET not in response.text + caplog.text
    assert type(error).__name__ in caplog.text


async def test_a_handler_that_fails_is_a_500_that_tells_nothing(app: FastAPI, caplog: pytest.LogCaptureFixture):
    async def fail(_request: Request, _error: Exception) -> Response:
        raise RuntimeError(SECRET)

    app.add_exception_handler(KeyError, fail)
    raises(app, KeyError())
    response = await get(app)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert SECRET not in response.text + caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_handler_may_read_the_body_and_one_that_blocks_runs_in_a_thread(app: FastAPI, blocking: bool):
    threads: list[str] = []

    async def reading(request: Request, _error: Exception) -> Response:
        return Response(await request.body())

    def block(_request: Request, _error: Exception) -> Response:
        threads.append(threading.current_thread().name)
        return Response("blocked")

    @app.post("/raise")
    async def fail() -> None:
        raise KeyError

    app.add_exception_handler(KeyError, block if blocking else reading)
    response = await get(app, method="POST", content=b"sent")
    assert response.text == ("blocked" if blocking else "sent")
    assert threading.main_thread().name not in threads


async def test_a_websocket_of_an_embedding_app_is_closed_with_its_code(app: FastAPI):
    @app.websocket("/socket")
    async def refuse(_socket: WebSocket) -> None:
        raise WebSocketException(4401)

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/socket", "query_string": b"", "headers": [], "subprotocols": []}
    await app(scope, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 4401)]


async def test_an_answer_that_has_begun_gets_no_second_one(app: FastAPI, caplog: pytest.LogCaptureFixture):
    class Breaking(Response):
        async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise KeyError(SECRET)

    @app.get("/raise")
    async def begin() -> Response:
        return Breaking()

    begun: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        begun.append(message["type"])

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/raise", "raw_path": b"/raise",
        "query_string": b"", "headers": [], "scheme": "http", "server": ("x", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    app.add_exception_handler(KeyError, asynchronous)
    await app(scope, receive, send)
    assert begun == ["http.response.start"]
    assert "KeyError" in caplog.text
    assert SECRET not in caplog.text
