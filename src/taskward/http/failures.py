"""What the log is told of requests: of each that failed, of those that were refused, and, if wanted, of every one.

Of a request there are its id, method, route template, status and time, and the reason of a failure. Its path, query,
headers and body are left out: they may hold a token or what a user has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from taskward.errors import KeysUnavailable, Problem
from taskward.http.middleware import request_id, sent_method, sent_status
from taskward.runtime.log import Thinner, get_logger, without_data

_log = get_logger("taskward.requests")
_access = get_logger("taskward.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT})


class Failures:
    """Requests that end in an error. Each that failed, by a status of 500 or more, is an event of its own.

    Refusals can be had by anybody at any rate, without a token even. Of those with one status and reason the first is
    an event, and then, every ten seconds for as long as they go on, one that says how many came. A token that could
    not be verified since the issuer is out of reach counts as refused.
    """

    def __init__(self) -> None:
        self._refusals = Thinner(_tell_count)
        self._problem: str | None = None

    def note(self, scope: Scope, error: Exception, status: int | None, began: float) -> None:
        """Tell the log of a request, if there is anything to tell.

        Args:
            error: What ended it.
            status: That of its answer, or None where another answer had begun, which ends in the middle.
            began: When it began, by `perf_counter`.
        """
        of_request = {**_members(scope), "status": status, "ms": _milliseconds(began)}
        if not isinstance(error, Problem):
            if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _REFUSED:
                event = "answer broke off" if status is None else "request failed"
                _log.error(event, **of_request, reason="a defect", exception=without_data(error))
            return
        why = {"problem": error.slug, "reason": error.reason}
        if status is None:
            _log.warning("answer broke off", **of_request, **why)
        elif status in _REFUSED or isinstance(error, KeysUnavailable):
            if self._refusals.is_first(status=status, **why):
                _log.warning("request refused", **of_request, **why)
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("request failed", **of_request, **why)

    def note_gone(self, scope: Scope, began: float) -> None:
        """Tell the log of an answer that nobody took to its end.

        Args:
            began: When the request began, by `perf_counter`.
        """
        reason = "the client left, or took nothing for too long"
        _log.info("answer broke off", **_members(scope), status=None, ms=_milliseconds(began), reason=reason)

    def note_readiness(self, problem: str | None) -> None:
        """Tell the log when a probe finds that requests cannot be served, and when they can again.

        Args:
            problem: What keeps them from being served, if anything does.
        """
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _log.info("ready again")
        else:
            _log.warning("not ready", reason=problem)

    def flush(self) -> None:
        """Tell what was counted and not told yet."""
        self._refusals.flush()


class AccessLog:
    """An event for each request, whatever it ends in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            _access.info("request", **_members(scope), status=sent_status(scope), ms=_milliseconds(began))


def _members(scope: Scope) -> dict[str, Any]:
    method = sent_method(scope)
    return {
        "request_id": request_id(scope),
        # Whoever sends another one has chosen its letters.
        "method": method if method in _METHODS else "other",
        "route": getattr(scope.get("route"), "path_format", None),
    }


def _milliseconds(began: float) -> float:
    return round((perf_counter() - began) * 1000, 1)


def _tell_count(kind: Mapping[str, Any], count: int) -> None:
    _log.warning("more requests refused", **kind, count=count)
