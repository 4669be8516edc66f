"""Requests that may be sent twice and are carried out once (`Idempotency-Key`).

The answer is stored in the transaction of what was written: either both are there or neither is, whenever a process
may end.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from pydantic import AfterValidator, WithJsonSchema

from taskward.http.dependencies import CurrentCaller, OwnerSession
from taskward.http.framework import body_at_hand
from taskward.http.reading import BODY_DIGEST
from taskward.identity import Caller
from taskward.storage.session import Session
from taskward.storage.stored_responses import StoredResponses

Endpoint = Callable[..., Awaitable[Response]]

_PARAMETER = "taskward_once"
# What is sent with an answer of its own, or made anew for each.
_NOT_KEPT = frozenset({"content-length", "x-request-id", "vary"})

# A row's own, or what a text of it calls so.
_ID = re.compile('"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_KEY = "[!-~]{1,255}"
# The draft of this header makes it a string of RFC 8941 (section 3.3.3), in quotes and with escapes. What begins with
# a quote is one.
_STRING = re.compile(r'"((?:[!#-\[\]-~]|\\["\\]){1,255})"')
_SCHEMA = {"type": "string", "pattern": f"^([!#-~][!-~]{{0,254}}|{_STRING.pattern})$"}


def _key(text: str) -> str:
    if text.startswith('"'):
        quoted = _STRING.fullmatch(text)
        text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not re.fullmatch(_KEY, text):
        raise ValueError("This must be 1 to 255 visible ASCII characters, as they are or as a string in double quotes.")
    return text


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_key), WithJsonSchema(_SCHEMA)] | None,
    Header(
        alias="Idempotency-Key",
        description="Your own name for this request, such as a UUID: sent again within 24 hours, it is answered as the "
        "first time and carried out once.",
    ),
]


class Once:
    """Carries a request out, unless one with its key was.

    Args:
        session: Where the request writes, and so its answer is kept.
        key: Of the caller's requests, whosever rows they are about.
    """

    def __init__(self, request: Request, session: Session, caller: Caller, key: str | None) -> None:
        self._request = request
        self._answers = StoredResponses(session)
        self._key = key
        if key is not None and caller.user_id != session.user_id:
            of_caller = blake2b(f"{caller.user_id} {key}".encode(), digest_size=32)
            # No key has a space, so it is none of the owner's, either.
            self._key = f"of {of_caller.hexdigest()}"

    async def run(self, endpoint: Callable[[], Awaitable[Response]]) -> Response:
        """The endpoint's answer, or the one that was stored.

        Raises:
            KeyReused, RequestRunning: See `StoredResponses.claim`.
        """
        key = self._key
        if key is None:
            return await endpoint()
        stored = await self._answers.claim(key, _digest(self._request))
        if stored is not None:
            headers = {**orjson.loads(stored["headers"]), "Idempotency-Replayed": "true"}
            return Response(stored["body"], stored["status"], headers)
        response = await endpoint()
        # A refusal is raised, and takes the claim back with all else.
        assert response.status_code < HTTPStatus.MULTIPLE_CHOICES, "this is an answer to keep"  # noqa: S101
        headers = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
        body = bytes(response.body).decode()
        shown = {UUID(found) for found in _ID.findall(body)}
        await self._answers.store(key, response.status_code, orjson.dumps(headers).decode(), body, shown)
        return response


def own_once(request: Request, session: OwnerSession, caller: CurrentCaller, key: IdempotencyKey = None) -> Once:
    """What carries out a request about the caller's own rows."""
    return Once(request, session, caller, key)


def idempotent(endpoint: Endpoint, once: Callable[..., Once] = own_once) -> Endpoint:
    """Let clients send a request to an endpoint twice, with a key, and have it carried out once.

    Args:
        once: A dependency that makes one, with the endpoint's own session.
    """

    @functools.wraps(endpoint)
    async def run(**arguments: Any) -> Response:
        runs: Once = arguments.pop(_PARAMETER)
        return await runs.run(lambda: endpoint(**arguments))

    signature = inspect.signature(endpoint)
    parameter = inspect.Parameter(_PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Once, Depends(once)])
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])  # type: ignore[attr-defined]
    return run


def _digest(request: Request) -> bytes:
    query = request.scope["query_string"]
    head = f"{request.method} {request.scope['path']}?".encode("utf-8", "surrogateescape") + query
    return blake2b(head + b"\n" + _body(request), digest_size=32).digest()


def _body(request: Request) -> bytes:
    if BODY_DIGEST in request.scope:
        return cast("bytes", request.scope[BODY_DIGEST])
    # Where the route takes none, none was read.
    return body_at_hand(request) or b""
