"""Reads a request's parameters and body into arguments, in the order that the API promises its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_origin

from fastapi import Request
from fastapi.params import Body, Form
from pydantic import BaseModel, ValidationError
from starlette.types import Scope

from taskward.errors import (
    BodyTimeout,
    FieldError,
    Invalid,
    MalformedBody,
    NotAcceptable,
    UnsupportedMediaType,
)
from taskward.http.bodies import SMALL_BODY, JsonBody
from taskward.http.framework import Dependant, keep_body, validator_of
from taskward.http.headers import headers_of
from taskward.http.query_string import pairs_of
from taskward.http.receiving import receive, spool
from taskward.http.services import services
from taskward.http.spooling import SpooledBody
from taskward.http.validation import field_errors
from taskward.kit.suggestions import suggestion
from taskward.runtime.timeouts import Expired, Timeouts
from taskward.strict_json.bounds import TooMuchJson
from taskward.strict_json.curtailing import MOST_ERRORS
from taskward.strict_json.mistakes import EMPTY, NotJson

LARGEST_BODY = 256 * 1024
"""Bytes that a body may have, where its route does not say otherwise."""

ReceivedBody = bytes | SpooledBody
BODY_DIGEST = "taskward.body_digest"
"""Where a scope has the digest of a body that is spooled."""
_MOST_PARAMETERS = 100
_DIGITS = len(str(SMALL_BODY))
_FORMS = frozenset({b"multipart/form-data", b"application/x-www-form-urlencoded"})
_MERGE_PATCH = b"application/merge-patch+json"
_JSON_TYPES = frozenset({b"application/json", _MERGE_PATCH})
_UTF8 = frozenset({b"charset=utf-8", b'charset="utf-8"'})


class RequestBody(Body):  # type: ignore[misc] # as every Body of the framework
    """Declares a body that differs from the default: JSON of at most `LARGEST_BODY` bytes, read as a whole.

    Args:
        largest: Bytes that it may have, where it is not spooled.
        media_types: Those that it may have in place of JSON's. Then it is not parsed, and its annotation is `bytes`.
        spooled: Whether it is a `SpooledBody`, which may have what the app's `Spools` say.
        long: The member that is read item by item, where the whole is larger than what is read in one piece.
    """

    def __init__(
        self,
        *,
        largest: int,
        media_types: Sequence[str] = (),
        spooled: bool = False,
        long: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.largest = largest
        self.spooled = spooled
        self.long = long
        self.media_types = frozenset(name.encode() for name in media_types)


class _Parameter:
    """A path, query or header parameter, a model of several query parameters, or the body; and its value's place."""

    __slots__ = (
        "alias", "dear", "default", "is_missing", "members", "place", "repeatable", "required", "validate",
    )  # fmt: skip

    def __init__(self, place: int, field: Any) -> None:
        self.place = place
        self.alias = field.alias
        self.validate = validator_of(field)
        self.required = field.field_info.is_required()
        meaning = (field.field_info.description or "").replace("`", "")
        self.is_missing = f"This is required: {meaning[:1].lower()}{meaning[1:]}" if meaning else "This is required."
        model = field.field_info.annotation
        is_model = isinstance(model, type) and issubclass(model, BaseModel)
        self.members = tuple(f.alias or name for name, f in model.model_fields.items()) if is_model else None
        self.dear: re.Pattern[bytes] | None = getattr(model, "dear", None)
        # What may be given several times is a list.
        fields = model.model_fields if is_model else {}
        self.repeatable = tuple(f.alias or name for name, f in fields.items() if get_origin(f.annotation) is list)
        self.default = None if self.required else field.get_default()


class RequestReader:
    """Reads what the signatures of a plan's steps declare.

    Args:
        steps: FastAPI's description of each step, in the order of the plan, and the places of its arguments.
        size: How many places there are.
        produced: The media type of the answer, which `Accept` must not rule out.

    Attributes:
        defaults: A value for each place, for a request that leaves out whatever it may. Requests share them.
    """

    def __init__(self, steps: Sequence[tuple[Dependant, Mapping[str, int]]], size: int, produced: str) -> None:
        self._precision = {b"*/*": 0, b"application/*": 1, produced.encode(): 2, b"application/problem+json": 1}
        self._path = [_Parameter(places[f.name], f) for d, places in steps for f in d.path_params]
        self._query = [_Parameter(places[f.name], f) for d, places in steps for f in d.query_params]
        self._headers = [_Parameter(places[f.name], f) for d, places in steps for f in d.header_params]
        self.defaults: list[Any] = [None] * size
        self._needs_query = not _validate("query", self._query, {}, self.defaults, [])
        self._needs_headers = not _validate("header", self._headers, {}, self.defaults, [])
        self._header_names = {p.alias.lower().replace("_", "-").encode(): p for p in self._headers}
        self._repeatable = frozenset(name for p in self._query for name in p.repeatable)
        self._dear = next((p.dear for p in self._query if p.dear is not None), None)
        self._query_names = frozenset(name for p in self._query for name in p.members or (p.alias,))
        bodies = [(places[f.name], f) for d, places in steps for f in d.body_params]
        if len(bodies) > 1 or any(d.cookie_params for d, _ in steps):
            raise TypeError("one body at most, and no cookies, can be read")
        self._body: _Parameter | None = None
        self._json: JsonBody | None = None
        self._largest, self._media_types = LARGEST_BODY, frozenset[bytes]()
        self._is_spooled = False
        if bodies:
            info = bodies[0][1].field_info
            if isinstance(info, Form) or getattr(info, "embed", None):
                raise TypeError("a body is one JSON document, neither a form nor a member of one")
            self._body = _Parameter(*bodies[0])
            self.defaults[self._body.place] = self._body.default
            long = None
            if isinstance(info, RequestBody):
                self._largest, self._media_types, long = info.largest, info.media_types, info.long
                self._is_spooled = info.spooled
            if not self._media_types:
                self._json = JsonBody(info.annotation, long)

    async def receive(self, request: Request, timeouts: Timeouts, user_id: str) -> ReceivedBody:
        """The body; nothing where the route takes none. One that is spooled must be closed.

        Args:
            timeouts: In which it must have arrived.
            user_id: Who sends it.

        Raises:
            Problem: It did not, or it is too large, or the answer would be of a type that the client does not take.
        """
        _check_accept(headers_of(request.scope), self._precision)
        if self._body is None:
            return b""
        try:
            with timeouts.limit():
                if self._is_spooled:
                    return await spool(request, services(request).spools, user_id)
                return await receive(request, self._largest)
        except Expired:
            raise BodyTimeout(reason=f"the body did not come within {timeouts.seconds:g} s") from None

    def announces_little(self, request: Request) -> bool:
        """Whether a request is short, as far as one sees before its body has come."""
        if self._dear is not None:
            return not self.is_long(request, b"")
        if self._body is None:
            return True
        length = headers_of(request.scope).get(b"content-length", b"")
        return self._json is not None and length.isdigit() and len(length) <= _DIGITS and int(length) <= SMALL_BODY

    def is_long(self, request: Request, body: ReceivedBody) -> bool:
        """Whether to read a body, or to do what is asked, may take long enough for others to notice."""
        if self._dear is not None:
            return self._dear.search(request.scope["query_string"]) is not None
        return bool(body) and (self._json is None or isinstance(body, SpooledBody) or not self._json.is_small(body))

    async def read(self, request: Request, body: ReceivedBody, values: list[Any]) -> None:
        """Put what was sent into the places of those that ask for it.

        Args:
            body: As it was received.
            values: At first a copy of `defaults`.

        Raises:
            Problem: The request cannot be understood or breaks a rule; see the module `errors`.
        """
        errors: list[FieldError] = []
        if self._body is not None:
            await self._read_body(request, self._body, body, values, errors)
        if self._needs_query or request.scope["query_string"]:
            self._read_query(request.scope, values, errors)
        headers = headers_of(request.scope)
        if self._needs_headers or not self._header_names.keys().isdisjoint(headers):
            given = {p.alias: headers[n].decode("latin-1") for n, p in self._header_names.items() if n in headers}
            _validate("header", self._headers, given, values, errors)
        if errors:
            raise Invalid(errors[:MOST_ERRORS])
        for parameter in self._path:
            # The type of an id raises its own problem: a value that is not an id is the id of nothing.
            try:
                values[parameter.place] = parameter.validate(request.path_params[parameter.alias])
            except ValidationError as error:
                found = error.errors(include_url=False, include_input=False)[0]
                raise Invalid(field_errors("path", [{**found, "loc": (parameter.alias,)}])) from None

    async def _read_body(
        self,
        request: Request,
        parameter: _Parameter,
        body: ReceivedBody,
        values: list[Any],
        errors: list[FieldError],
    ) -> None:
        if not body and not parameter.required:
            return
        if isinstance(body, SpooledBody):
            request.scope[BODY_DIGEST] = body.digest
        else:
            keep_body(request, body)
        if self._json is None or isinstance(body, SpooledBody):
            _check_media_type(request, self._media_types)
            values[parameter.place] = body
            return
        if not body and b"content-type" not in headers_of(request.scope):
            raise MalformedBody(EMPTY)
        _check_media_type(request, _JSON_TYPES)
        try:
            if self._json.is_small(body):
                values[parameter.place] = self._json.validate(body)
            else:
                values[parameter.place] = await self._json.validate_cooperatively(body)
        except NotJson as error:
            raise MalformedBody(str(error)) from None
        except TooMuchJson as error:
            errors.append(FieldError("body", "", str(error)))
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors += field_errors("body", found, known=self._json.known)
        except Invalid as problem:
            errors += problem.errors

    def _read_query(self, scope: Scope, values: list[Any], errors: list[FieldError]) -> None:
        given: dict[str, Any] = {}
        if scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
            errors.append(FieldError("query", "", f"This must have at most {_MOST_PARAMETERS} parameters."))
            return
        try:
            pairs = pairs_of(scope)
        except ValueError:
            errors.append(FieldError("query", "", "The query string is not UTF-8 in percent-encoding."))
            return
        for name, value in pairs:
            if name in self._repeatable:
                given.setdefault(name, []).append(value)
                continue
            if name in given:
                errors += field_errors("query", [_custom(name, "This must be given once.")])
            elif name not in self._query_names:
                meant = suggestion(name, self._query_names) if len(errors) < MOST_ERRORS else ""
                errors += field_errors("query", [_custom(name, f"This parameter is not known.{meant}")])
            given[name] = value
        _validate("query", self._query, given, values, errors)


def _validate(
    location: Literal["query", "header"],
    parameters: Sequence[_Parameter],
    given: Mapping[str, Any],
    values: list[Any],
    errors: list[FieldError],
) -> bool:
    """Put what is given into its places, and say whether it breaks no rule."""
    before = len(errors)
    for parameter in parameters:
        value: Any
        if parameter.members is not None:
            value = {name: given[name] for name in parameter.members if name in given}
        elif parameter.alias in given:
            value = given[parameter.alias]
        elif parameter.required:
            errors += field_errors(location, [_custom(parameter.alias, parameter.is_missing)])
            continue
        else:
            values[parameter.place] = parameter.default
            continue
        try:
            values[parameter.place] = parameter.validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if parameter.members is None:
                found = [{**found[0], "loc": (parameter.alias,)}]
            errors += field_errors(location, found)
    return len(errors) == before


def _custom(name: str, sentence: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": (name,), "ctx": {"error": sentence}}


def _check_media_type(request: Request, allowed: frozenset[bytes]) -> None:
    if request.method != "PATCH":
        allowed -= {_MERGE_PATCH}
    headers = headers_of(request.scope)
    if set(headers.get(b"content-encoding", b"identity").split(b", ")) != {b"identity"}:
        raise UnsupportedMediaType(_texts(allowed))
    media_type, *parameters = (part.strip().lower() for part in headers.get(b"content-type", b"").split(b";"))
    if media_type in _FORMS:
        raise UnsupportedMediaType(_texts(allowed), is_form=True)
    if media_type not in allowed or any(p and p not in _UTF8 for p in parameters):
        raise UnsupportedMediaType(_texts(allowed))


def _texts(media_types: frozenset[bytes]) -> list[str]:
    return sorted(media_type.decode() for media_type in media_types)


def _check_accept(headers: Mapping[bytes, bytes], precision: Mapping[bytes, int]) -> None:
    accept = headers.get(b"accept")
    if accept is None:
        return
    best: tuple[int, float] = (-1, 0.0)
    for entry in accept.lower().split(b","):
        media_range, *parameters = (part.strip() for part in entry.split(b";"))
        if media_range in precision:
            best = max(best, (precision[media_range], quality(parameters)))
    if best[1] <= 0:
        raise NotAcceptable


def quality(parameters: Sequence[bytes]) -> float:
    """How welcome a media range of `Accept` is, by its parameters (RFC 9110, section 12.4.2)."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
