"""What members of several resources may be: ids and lines of text, with the JSON schemas that tell clients of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Strict, StringConstraints
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

_DAY = 86_400
_CANONICAL_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COLOR = "^#[0-9a-fA-F]{6}$"
LONGEST_LINE = 255


CONTENT_CODING = "(?:--?(?:gzip|br|zstd|deflate))?"
"""What a proxy that compresses an answer adds to its entity tag, as a pattern: Apache `-gzip`, Jetty `--gzip`."""


def without_controls(text: str) -> str:
    """Refuse control characters."""
    if _CONTROLS.search(text):
        raise ValueError("This must not have control characters, line breaks among them.")
    return text


def _color(text: str) -> str:
    if not re.fullmatch(_COLOR, text):
        raise ValueError("This must be # and six hexadecimal digits, such as #2f855a.")
    return text.lower()


def _uuid7(value: UUID) -> UUID:
    if value.version != 7:  # noqa: PLR2004
        raise ValueError("This must be a UUIDv7 (RFC 9562, section 5.7).")
    if (value.int >> 80) / 1000 > time.time() + _DAY:
        raise ValueError("This must not lie more than a day in the future.")
    return value


def _canonical(value: object) -> object:
    if isinstance(value, str) and not _CANONICAL_UUID.fullmatch(value):
        raise ValueError("This must be a UUID.")
    return value


def parse_uuid(value: object) -> UUID | None:
    """The UUID that a path names, in its one spelling in either case, or None."""
    # UUID() also takes hyphens elsewhere, underscores and digits of other scripts.
    return UUID(value) if isinstance(value, str) and _CANONICAL_UUID.fullmatch(value) else None


# The validators, as patterns for the clients that read the schema. Around a line there may be spaces of any kind and
# number, line breaks among them, which is why its length is part of the pattern; within it no control characters.
_SPACE = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_INK = rf"[^{_SPACE}{_CONTROL}]"


def line_schema(longest: int, *, without_dots: bool = False) -> dict[str, Any]:
    """The JSON schema of a line of text that is trimmed.

    Args:
        without_dots: Whether it may be neither `.` nor `..`.
    """
    inner, ink = f"[^{_CONTROL}]", _INK
    line = f"{ink}(?:{inner}{{0,{longest - 2}}}{ink})?"
    if without_dots:
        # Not every reader of patterns can look ahead.
        other = f"[^.{ink[2:]}"
        most = longest - 2
        line = f"(?:{other}(?:{inner}{{0,{most}}}{ink})?|[.](?:{inner}{{0,{most}}}{other}|{inner}{{1,{most}}}{ink}))"
    pattern = f"^[{_SPACE}]*{line}[{_SPACE}]*$"
    return {"type": "string", "minLength": 1, "pattern": pattern}


UUID_SCHEMA: dict[str, Any] = {"type": "string", "format": "uuid"}
_UUID7_SCHEMA = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
}

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_LINE),
    AfterValidator(without_controls),
    WithJsonSchema(line_schema(LONGEST_LINE)),
]
"""A title or a name."""
Color = Annotated[
    str,
    AfterValidator(_color),
    WithJsonSchema({"type": "string", "pattern": _COLOR, "examples": ["#2f855a"]}),
]
NewId = Annotated[
    UUID, Strict(strict=False), BeforeValidator(_canonical), AfterValidator(_uuid7), WithJsonSchema(_UUID7_SCHEMA)
]
"""The id of a new row, chosen by the client."""
Reference = Annotated[UUID, Strict(strict=False), BeforeValidator(_canonical), WithJsonSchema(UUID_SCHEMA)]
"""The id of another row of the caller's."""
Ignored = SkipJsonSchema[Any]
"""A member of an export's line that only the server writes, and an import ignores."""


def merge_patch(*examples: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """The `json_schema_extra` of a merge patch: a member that is left out keeps its value, so none has a default."""

    def change(schema: dict[str, Any]) -> None:
        for member in schema.get("properties", {}).values():
            member.pop("default", None)
        schema["examples"] = list(examples)

    return change
