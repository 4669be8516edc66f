"""Sentences about mistakes of a request, which name the member and its rule and never repeat the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Literal

from taskward.errors import FieldError
from taskward.kit.suggestions import suggestion, word_suggestion
from taskward.kit.unions import SENTENCE, UNION_TAG, UNKNOWN_KIND, choices_of
from taskward.strict_json.curtailing import MOST_ERRORS, KnownMembers

Location = Literal["body", "query", "path", "header"]

_LONGEST_NAME = 64
_WORD = re.compile("'([^']*)'")

_SENTENCES = {
    "missing": "This is required.",
    "extra_forbidden": "This is not known, or cannot be written.",
    "string_type": "This must be a string.",
    "string_too_short": "This must not be empty.",
    "string_too_long": "This must have at most {max_length} characters.",
    "string_unicode": "This must be text that UTF-8 can carry, without lone surrogates.",
    "string_pattern_mismatch": "This does not have the form that is described.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "int_parsing_size": "This must be a whole number within the limits that are described.",
    "greater_than_equal": "This must be at least {ge}.",
    "less_than_equal": "This must be at most {le}.",
    "uuid_type": "This must be a UUID.",
    "uuid_parsing": "This must be a UUID.",
    "uuid_version": "This must be a UUIDv{expected_version}.",
    "literal_error": "This must be one of {expected}.",
    "enum": "This must be one of {expected}.",
    "model_type": "This must be a JSON object.",
    "model_attributes_type": "This must be a JSON object.",
    "dict_type": "This must be a JSON object.",
    "list_type": "This must be a JSON array.",
    "too_short": "This must not be empty.",
    "too_long": "This must have at most {max_length} items.",
    "json_invalid": "This is not a JSON object on a line of its own: {mistake}.",
    UNKNOWN_KIND: SENTENCE,
}


def field_errors(
    location: Location, errors: Iterable[Mapping[str, Any]], prefix: str = "", known: KnownMembers | None = None
) -> list[FieldError]:
    """Turn Pydantic's errors into ours.

    Args:
        location: The part of the request.
        errors: Of which the first are named, as `ValidationError.errors()` lists them.
        prefix: The pointer of what was validated.
        known: What members there are, so that one that is not known is told the nearest.
    """
    first = islice(errors, MOST_ERRORS)
    return [FieldError(location, prefix + pointer(error["loc"]), _sentence(error, known)) for error in first]


def pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901). Names are the client's own, so they are cut and freed of what UTF-8 cannot carry."""
    named = (part for part in path if not str(part).startswith(UNION_TAG))
    return "".join(f"/{_clean(str(part)).replace('~', '~0').replace('/', '~1')}" for part in named)


def _clean(name: str) -> str:
    return name[:_LONGEST_NAME].encode("utf-8", "replace").decode("utf-8")


def _sentence(error: Mapping[str, Any], known: KnownMembers | None) -> str:
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden" and known is not None:
        *path, name = error["loc"]
        return _SENTENCES["extra_forbidden"] + suggestion(str(name), known.names_at(path))
    if error["type"] == "value_error":
        return str(context["error"])
    sentence = _SENTENCES.get(error["type"], "This is not valid.").format(**context)
    return sentence + _meant(error, context)


def _meant(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """Which of a few words was meant, where Pydantic says which there are and what it has met."""
    word: Any = error.get("input")
    words: tuple[str, ...] = ()
    if error["type"] == UNKNOWN_KIND:
        word = word.get(context["member"]) if isinstance(word, dict) else None
        words = choices_of(context)
    elif error["type"] == "literal_error":
        words = tuple(_WORD.findall(str(context["expected"])))
    return word_suggestion(word, words) if isinstance(word, str) else ""
