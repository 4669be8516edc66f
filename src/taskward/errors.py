"""What can end a request early, as one tree of exceptions, to which each slice adds its own in its `errors.py`.

    Problem
    ├── MalformedBody 400          ├── RequestRunning 409
    ├── PreflightRefused 400       ├── StaleVersion 412
    ├── NotAuthenticated 401       ├── BodyTooLarge 413
    ├── InvalidToken 401           ├── UnsupportedMediaType 415
    ├── InsufficientScope 403      ├── Invalid 422
    ├── RouteNotFound 404          │   └── KeyReused
    ├── MethodNotAllowed 405       ├── InternalError 500
    ├── NotAcceptable 406          └── Unavailable 503
    └── BodyTimeout 408                ├── PoolExhausted
                                       ├── AnswersUntaken
                                       ├── KeysUnavailable
                                       ├── OutcomeUnknown
                                       └── ShuttingDown

An error is a fact with a status; whoever raises it knows nothing of HTTP answers. `http.problems` renders them as
`application/problem+json` (RFC 9457). A class's docstring is the page that `/problems/<slug>` shows. Nothing here
holds a rejected value, SQL, a token or another user's data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal


class Problem(Exception):
    """An error answer of the API.

    Args:
        detail: One sentence that says what to do, in place of the class's own.
        reason: Why, for the log and never for the answer; no value of a request, a token or a row.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    detail: str
    index: int | None = None
    """Which operation of a batch it is about, counted from 0, or which line of an import, counted from 1."""

    def __init__(self, detail: str | None = None, *, reason: str | None = None) -> None:
        if detail is not None:
            self.detail = detail
        self.reason = reason or self.title
        super().__init__(self.detail)

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers that belong to this error."""
        return {}

    @property
    def members(self) -> Mapping[str, Any]:
        """Extension members of the problem document (RFC 9457, section 3.2)."""
        return {}


class MalformedBody(Problem):
    """The request body is not JSON in UTF-8 (RFC 8259), so nothing in it was looked at and nothing was written.

    The answer says at which line and column, in characters, it stops being JSON, and what is expected there.
    """

    status, slug, title = 400, "malformed-body", "The body is not JSON"
    detail = "Send a body that is valid JSON in UTF-8."

    def __init__(self, mistake: str) -> None:
        super().__init__(f"Send a body that is valid JSON in UTF-8: {mistake}.")


class PreflightRefused(Problem):
    """A browser asked whether a page may send a request, and it may not.

    Its origin is not among `TASKWARD_CORS_ORIGINS`, which is empty unless somebody sets it, or the method or a header
    is not one that this API takes.
    """

    status, slug, title = 400, "preflight-refused", "Not allowed across origins"
    detail = "Name the page's origin in TASKWARD_CORS_ORIGINS; send methods and headers that the documentation names."


class NotAuthenticated(Problem):
    """The request carries no bearer token. Send `Authorization: Bearer <token>` (RFC 6750, section 2.1)."""

    status, slug, title = 401, "not-authenticated", "A token is needed"
    detail = "Send an Authorization header with a bearer token."

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class InvalidToken(Problem):
    """The bearer token was not accepted.

    It may be expired, signed with another key, issued for another audience, or malformed. The answer does not say
    which, because that would help only someone who is guessing. Get a new token from your identity provider.
    """

    status, slug, title = 401, "invalid-token", "The token is not accepted"
    detail = "Get a new token and send the request again."
    description: ClassVar[str] = "The access token is expired, malformed or not issued for this service"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{self.description}"'}


class InsufficientScope(Problem):
    """The token is good but does not allow this: reading needs the scope `tasks:read`, everything else `tasks:write`.

    Ask your identity provider for a token with the scope that the answer names.
    """

    status, slug, title = 403, "insufficient-scope", "The token does not allow this"
    detail = "Get a token with the scope that WWW-Authenticate names."

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(reason=f"the token does not have the scope {scope}")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.scope}"'}

    @property
    def members(self) -> Mapping[str, Any]:
        return {"scope": self.scope}


class RouteNotFound(Problem):
    """There is no such path in this API. The paths are listed at `/docs`."""

    status, slug, title = 404, "not-found", "No such path"
    detail = "Check the path; there is no slash at its end. The service's /docs and /openapi.json list all paths."


class MethodNotAllowed(Problem):
    """The path exists but does not answer this method; the `Allow` header lists those it does."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"
    detail = "Use one of the methods in the Allow header."

    def __init__(self, allow: str) -> None:
        self.allow = allow
        super().__init__()

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": self.allow}


class NotAcceptable(Problem):
    """The `Accept` header rules out `application/json`, which is all that this API speaks."""

    status, slug, title = 406, "not-acceptable", "Only JSON is spoken here"
    detail = "Send Accept: application/json, or no Accept header."


class BodyTimeout(Problem):
    """The request body did not arrive in time, so nothing was written."""

    status, slug, title = 408, "body-timeout", "The body did not arrive"
    detail = "Send the whole body at once."


class RequestRunning(Problem):
    """A request with the same `Idempotency-Key` is still running, and was for ten seconds.

    Nothing was written by this one. Send it again in a moment: it is answered as the first one was.
    """

    status, slug, title = 409, "request-running", "This request is still running"
    detail = "Send it again, with the same Idempotency-Key, in a moment."


class StaleVersion(Problem):
    """`If-Match` does not name the current version of the resource: it was changed since it was read.

    Nothing was written. `version` in the answer is the current one; read again and decide anew.
    """

    status, slug, title = 412, "precondition-failed", "It has changed"
    detail = "Read it again and repeat the change with its current ETag."

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__()

    @property
    def members(self) -> Mapping[str, Any]:
        return {"version": self.current}


class BodyTooLarge(Problem):
    """The request body is larger than this route takes: 256 KiB, 1 MiB for a batch and an import, 16 MiB for an import
    from another service (`TASKWARD_MAX_IMPORT_BYTES`).
    """

    status, slug, title = 413, "content-too-large", "The body is too large"
    detail = "Send a smaller body."

    def __init__(self, largest: int) -> None:
        super().__init__(f"Send at most {largest} bytes to this route.")


class UnsupportedMediaType(Problem):
    """The body's `Content-Type` is not `application/json` in UTF-8 (or `application/merge-patch+json` on PATCH).

    An import takes `application/x-ndjson`, `application/json`, `text/csv` and `application/zip`. No route takes a form.
    What sends a string gives it another type by itself: curl's `-d` that of a form, so write `--json` in its place or
    add `-H 'Content-Type: application/json'`; a page's `fetch` `text/plain`, so give it
    `headers: {"Content-Type": "application/json"}`.
    """

    status, slug, title = 415, "unsupported-media-type", "Bodies of this type are not taken here"
    detail = "Send Content-Type: application/json, or one that the documentation of this route names."

    def __init__(self, media_types: Collection[str], *, is_form: bool = False) -> None:
        what = "no form but the content itself" if is_form else "the content itself"
        allowed = " or ".join(media_types)
        is_json = {"application/json", "application/merge-patch+json"}.issuperset(media_types)
        in_curl = "-H 'Content-Type: application/json'" if is_json else "-H 'Content-Type: …' --data-binary @FILE"
        super().__init__(
            f"Send {what}, as UTF-8, with Content-Type: {allowed}. In curl: {in_curl}. "
            "Without it, curl sends a form, and fetch sends text/plain."
        )


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request, without the value that was rejected.

    Attributes:
        location: The part of the request.
        pointer: A JSON pointer (RFC 6901) into the body, or `/name` of a parameter or header.
        detail: One sentence that says what is expected.
    """

    location: Literal["body", "query", "path", "header"]
    pointer: str
    detail: str

    def as_member(self) -> dict[str, str]:
        return {"in": self.location, "pointer": self.pointer, "detail": self.detail}


class Invalid(Problem):
    """The request was understood but breaks a rule; `errors` names each member or parameter and its rule.

    Nothing was written.
    """

    status, slug, title = 422, "invalid", "The request is not valid"
    detail = "Correct what errors lists and send the request again."

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__()

    @property
    def members(self) -> Mapping[str, Any]:
        return {"errors": [error.as_member() for error in self.errors]}


class KeyReused(Invalid):
    """You have sent another request with this `Idempotency-Key` within the last 24 hours. Nothing was written.

    A key stands for one request: the same method, path and body.
    """

    slug, title = "key-reused", "The Idempotency-Key stands for another request"
    detail = "Use a new key for a new request."

    def __init__(self) -> None:
        super().__init__([FieldError("header", "/Idempotency-Key", "This was sent with another request.")])


class InternalError(Problem):
    """A defect in Taskward. The server's log has the cause under the answer's `request_id`; please report it."""

    status, slug, title = 500, "internal-error", "Something broke"
    detail = "Report this with the request_id."


class Unavailable(Problem):
    """The database cannot be reached at the moment, or the request took longer than it may.

    Nothing was written, except where the documentation of the route says that it works little by little. Try again
    after `Retry-After` seconds.
    """

    status, slug, title = 503, "unavailable", "Temporarily unavailable"
    detail = "Try again in a moment."
    retry_after: ClassVar[int] = 2

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}


class PoolExhausted(Unavailable):
    """Every database connection is busy, or as many as one user may have, and none came free in time. Nothing was
    written; try again.
    """

    slug, title = "pool-exhausted", "Too busy"


class AnswersUntaken(Unavailable):
    """Earlier answers, to you or to everybody, wait to be taken, and fill the memory that is meant for them. Nothing
    was read or written.

    Take the answers that you asked for, or close their connections; then try again.
    """

    slug, title = "answers-untaken", "Earlier answers wait to be taken"
    detail = "Take the answers that you asked for, or ask for less, then try again."


class KeysUnavailable(Unavailable):
    """The identity provider is out of reach, and none of its keys that are known here is the token's.

    The token may well be good. Nothing was written; try again after `Retry-After` seconds.
    """

    slug, title = "keys-unavailable", "The token cannot be verified yet"

    def __init__(self, seconds: int, *, reason: str | None = None) -> None:
        self.seconds = seconds
        super().__init__(reason=reason)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.seconds)}


class OutcomeUnknown(Unavailable):
    """The database was lost, or did not answer in time, while the change was under way: it may or may not have been
    written.

    Read before you repeat it. A create with an id of your own can be repeated safely: it answers 409 if it was there.
    """

    slug, title = "outcome-unknown", "The outcome is not known"
    detail = "Read again to see whether the change was written, then decide whether to repeat it."


class ShuttingDown(Unavailable):
    """This process is stopping. Nothing was written; another one will answer when you try again."""

    slug, title = "shutting-down", "Shutting down"


def every_problem(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every kind of problem that has a page, in the order of the tree."""
    for kind in root.__subclasses__():
        yield kind
        yield from every_problem(kind)
