"""Answers and the preconditions that go with them (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any

import orjson
from fastapi import Header, Request, Response
from pydantic import BeforeValidator
from pydantic.json_schema import WithJsonSchema

from taskward.kit.types import CONTENT_CODING
from taskward.storage.row_json import Row

RawHeaders = list[tuple[bytes, bytes]]

_ENTITY_CACHE = (b"cache-control", b"private, no-cache")
_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# Empty elements of a list are to be taken (RFC 9110, section 5.6.1.2).
_ENTITY_TAGS = re.compile(rf"[\s,]*(?:{_ENTITY_TAG.pattern})(?:\s*,[\s,]*(?:{_ENTITY_TAG.pattern}))*[\s,]*")
_CODED = re.compile(f"{CONTENT_CODING}$")
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST_VERSION = 2**63 - 1
_SMALL_PAGE = 64 * 1024


def encode(value: Any) -> bytes:
    """JSON in UTF-8; instants are RFC 3339 in UTC with `Z`."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def encode_line(value: Any) -> bytes:
    """As `encode`, with an end of line, so that answers do not run together on a terminal."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class Answer(Response):
    """An answer that is sent as it is. The framework's own would first look for what is missing."""

    def __init__(self, body: bytes, status: int, headers: RawHeaders) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = headers
        self.background = None


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return _written(encode_line(value), status, _raw(headers))


def document_response(document: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that is written already."""
    # Added and not formatted: a row without JSON is a defect, and no answer "None".
    return _written((document + "\n").encode(), status, _raw(headers))


def _written(content: bytes, status: int, headers: RawHeaders) -> Answer:
    headers += ((b"content-length", b"%d" % len(content)), (b"content-type", b"application/json"))
    return Answer(content, status, headers)


def _raw(headers: Mapping[str, str] | None) -> RawHeaders:
    if not headers:
        return []
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def entity_tag(version: int) -> str:
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The value of `If-Match` or `If-None-Match`.

    Attributes:
        any: It is `*`.
        strong: The opaque parts of strong tags.
        weak: The opaque parts of weak ones.
    """

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def matches(self, tag: str) -> bool:
        """Whether `If-None-Match` holds the tag, by weak comparison (RFC 9110, section 13.1.2)."""
        opaque = tag.strip('"')
        return self.any or opaque in self.strong or opaque in self.weak

    def versions(self) -> list[int] | None:
        """The versions that `If-Match` allows, or None where it allows any.

        By RFC 9110, section 13.1.1, a weak tag never matches. Here it does: a proxy that compresses an answer makes its
        tag weak, and a client that sends it back means the same version.
        """
        if self.any:
            return None
        found = (int(tag) for tag in self.strong | self.weak if _VERSION.fullmatch(tag))
        return [version for version in found if version <= _LARGEST_VERSION]


def _parse_entity_tags(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip() == "*":
        return EntityTags(any=True)
    if not _ENTITY_TAGS.fullmatch(value):
        raise ValueError('This must be * or entity tags in double quotes, such as "42".')
    tags = [(weak, _CODED.sub("", opaque)) for weak, opaque in _ENTITY_TAG.findall(value)]
    return EntityTags(
        strong=frozenset(opaque for weak, opaque in tags if not weak),
        weak=frozenset(opaque for weak, opaque in tags if weak),
    )


# The form that clients should write. Other forms of a list are read as well.
_TAG_PATTERN = r'(W/)?"[!#-~]*"'
_TAGS_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": rf"^(\*|{_TAG_PATTERN}(, ?{_TAG_PATTERN})*)$", "examples": ['"42"']}
)

IfMatch = Annotated[
    EntityTags | None,
    BeforeValidator(_parse_entity_tags),
    _TAGS_SCHEMA,
    Header(alias="If-Match", description='Write only if it still has this ETag, such as `"42"`; else 412.'),
]
IfNoneMatch = Annotated[
    EntityTags | None,
    BeforeValidator(_parse_entity_tags),
    _TAGS_SCHEMA,
    Header(alias="If-None-Match", description="Answer 304 without a body if the ETag is still this one."),
]


def allowed_versions(if_match: EntityTags | None) -> list[int] | None:
    """The versions of a resource that may be overwritten, or None for any."""
    return None if if_match is None else if_match.versions()


def entity_response(
    row: Row,
    write: Callable[[Row], str],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    if_none_match: EntityTags | None = None,
) -> Response:
    """Answer with an entity's JSON, its ETag, and 304 where the client has it already.

    Args:
        row: Has a `version`.
        write: Makes JSON of the row, where that is answered.
    """
    tag = entity_tag(row["version"])
    all_headers = [*_raw(headers), (b"etag", tag.encode()), _ENTITY_CACHE]
    if if_none_match is not None and if_none_match.matches(tag):
        return Answer(b"", 304, all_headers)
    return _written((write(row) + "\n").encode(), status, all_headers)


def collection_tag(user_id: str, account: tuple[object, int] | None, fingerprint: str) -> str:
    """The tag of a collection, made from its owner, the epoch and the clock of the account, and the query.

    Args:
        account: Its epoch and clock; None before the first write.
        fingerprint: Says which collection this is, its query included.
    """
    state = f"{user_id}\n{account}\n{fingerprint}"
    return f'"{blake2b(state.encode(), digest_size=16).hexdigest()}"'


def collection_response(
    documents: list[str],
    tag: str | None,
    *,
    headers: Mapping[str, str] | None = None,
    if_none_match: EntityTags | None = None,
) -> Response:
    """Answer with an array of documents of JSON and its ETag, or with 304 where the client has it already.

    Args:
        documents: Taken out of the list: a large page would be there three times at once.
        tag: None where it may change without a write.
    """
    all_headers = _raw(headers)
    if tag is not None:
        all_headers += ((b"etag", tag.encode()), _ENTITY_CACHE)
        if if_none_match is not None and if_none_match.matches(tag):
            return Answer(b"", 304, all_headers)
    if sum(map(len, documents)) <= _SMALL_PAGE:
        content = f"[{','.join(documents)}]\n".encode()
    else:
        documents.reverse()
        encoded = [documents.pop().encode() for _ in range(len(documents))]
        content = b"[%b]\n" % b",".join(encoded)
    return _written(content, 200, all_headers)


def public_path(request: Request, path: str) -> str:
    """A path of this app as its clients write it: below the mount point or the proxy's prefix."""
    return str(request.scope.get("root_path", "")).rstrip("/") + path
