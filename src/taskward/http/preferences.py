"""The kind of answer that a client prefers (`Prefer`, RFC 7240)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header
from pydantic import BeforeValidator, WithJsonSchema

# Possessive, and a quote that is not closed goes to the end: otherwise a long header would be scanned over and over.
_ELEMENT = re.compile(r'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_RETURN = re.compile(r'\s*+return\s*+=\s*+("?)([^";\s]*+)\1\s*+(?:;.*)?', re.IGNORECASE | re.DOTALL)

APPLIED = {"Preference-Applied": "return=representation"}
"""The header of an answer that follows the preference (section 3)."""


def _wants_representation(value: object) -> object:
    """The first preference of a name counts, and those that are not known are ignored (section 2)."""
    if not isinstance(value, str):
        return value
    found = (_RETURN.fullmatch(element) for element in _ELEMENT.findall(value))
    return next((match[2].lower() == "representation" for match in found if match), False)


Representation = Annotated[
    bool | None,
    BeforeValidator(_wants_representation),
    WithJsonSchema({"type": "string", "examples": ["return=representation"]}),
    Header(alias="Prefer", description="With `return=representation`: answer with what it has become."),
]
"""Whether the client asks for the representation of what it changes where that is not sent anyway (section 4.2)."""
