"""A service over real HTTP, and tokens that it accepts."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from taskward.identity.tokens import sign
from taskward.settings import Settings

SECRET = "a-secret-of-the-tests-that-nobody-else-knows"
# Every server here speaks plain HTTP. Without this each client would read all the certificate authorities there are,
# which takes longer than most tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PLAIN: dict[str, Any] = {"verify": NO_TLS, "timeout": 30}
"""How a test asks. Seconds only end one that would wait for ever: httpx2's default of 5 is less than a busy machine may
take, and no more than a token with an unknown key may wait for."""


def make_token(user_id: str, /, *, secret: str = SECRET, ttl: float = 3600, **claims: Any) -> str:
    """A token as an issuer would sign it; a claim given as None is left out."""
    all_claims = {"sub": user_id, "iat": int(time.time()), "exp": int(time.time() + ttl), **claims}
    return sign({name: value for name, value in all_claims.items() if value is not None}, secret)


def make_settings(database_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"database_url": database_url, "jwt_secret": SECRET, **changes}
    return Settings(_env_file=None, **values)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:  # pragma: no cover - uvicorn's name for it in older versions
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI app on a free port of loopback, in a thread with a loop of its own; yields its URL."""
    # Where the bench's packages are installed uvicorn would choose a parser that refuses what it does not know itself.
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http="h11", loop="asyncio", log_level="warning", lifespan="on", access_log=False
    )
    server = _Server(config)
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(server.serve())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        if not server.started:
            raise RuntimeError("the app did not start") from (failure[0] if failure else None)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
