"""A JSON body becomes the argument that an endpoint declares. What may take long is done in parts."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

from annotated_types import MaxLen
from pydantic import BaseModel, TypeAdapter, ValidationError

from taskward.errors import FieldError, Invalid
from taskward.http.validation import field_errors
from taskward.runtime.fairness import cooperatively
from taskward.strict_json.curtailing import MOST_ERRORS, KnownMembers
from taskward.strict_json.reading import ITEMS, Item, Pause, parse, parts, steps

SMALL_BODY = 32 * 1024
"""Bytes of a body that may be read in one go: with few values in it, that takes less than a millisecond."""
_FEW_VALUES = 64


class JsonBody:
    """Reads bodies of one type.

    Args:
        annotation: A model.
        long: The name of its member that is an array and is read item by item, so that the whole may be larger than
            what is read in one piece.
    """

    def __init__(self, annotation: Any, long: str | None = None) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        self.known = KnownMembers(annotation)
        self._long = None if long is None else _Long(annotation, long)

    def is_small(self, body: bytes) -> bool:
        """Whether it can be read in one go, whatever it may be."""
        if len(body) > SMALL_BODY or body.count(b",") > _FEW_VALUES:
            return False
        # Of members with one name, the parser of small bodies would take the last without a word.
        return self._long is None or body.count(self._long.quoted_name) <= 1

    def validate(self, body: bytes) -> Any:
        """Parse and validate a small one.

        Raises:
            NotJson: It is not JSON in UTF-8.
            TooMuchJson: It is nested too deeply.
            ValidationError: It breaks a rule.
        """
        if b"NaN" not in body and b"Infinity" not in body:
            try:
                return self._adapter.validate_json(body)
            except ValidationError as error:
                # Pydantic's parser takes a lone surrogate for bad JSON. JSON's grammar allows one, so the member that
                # holds it is at fault. The parser takes NaN for a number, too; JSON does not have it.
                if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
                    raise
        return self._adapter.validate_python(parse(body))

    async def validate_cooperatively(self, body: bytes) -> Any:
        """Parse and validate one of any size, in parts between which others run.

        Raises:
            Invalid: An item of the long array breaks a rule.
            NotJson, TooMuchJson, ValidationError: As `validate`.
        """
        if self._long is not None:
            return await self._long.validate(body, self._adapter, self.known)
        value = None
        async for step in cooperatively(steps(body)):
            value = step
        await asyncio.sleep(0)
        return self._adapter.validate_python(self.known.curtail(value))


class _Long:
    """A member that is an array, whose items are read one by one."""

    def __init__(self, model: type[BaseModel], name: str) -> None:
        field = model.model_fields[name]
        (item,) = get_args(field.annotation)
        self._name = name
        self.quoted_name = f'"{name}"'.encode()
        self._most = next(rule.max_length for rule in field.metadata if isinstance(rule, MaxLen))
        self._adapter: TypeAdapter[Any] = TypeAdapter(item)
        self._known = KnownMembers(item)

    async def validate(self, body: bytes, whole: TypeAdapter[Any], known: KnownMembers) -> Any:
        items: list[Any] = []
        members: dict[str, Any] = {}
        errors: list[FieldError] = []
        async for part in cooperatively(parts(body, self._name)):
            if isinstance(part, Pause):
                continue
            if isinstance(part, Item):
                self._take(part, items, errors)
            elif part.name is None:
                return whole.validate_python(part.value)
            elif self._name in members and part.name == self._name:
                errors.append(FieldError("body", f"/{self._name}", "This must be given once."))
            else:
                members[part.name] = items if part.value is ITEMS else part.value
                if known.are_too_many(members):
                    break
        try:
            argument = whole.validate_python(known.curtail(members))
        except ValidationError as error:
            found = error.errors(include_url=False)
            # Without its bad items the array may look too short.
            others = [one for one in found if not errors or one["loc"][0] != self._name]
            raise Invalid([*errors, *field_errors("body", others, known=known)]) from None
        if errors:
            raise Invalid(errors)
        return argument

    def _take(self, item: Item, items: list[Any], errors: list[FieldError]) -> None:
        if item.index == self._most:
            raise Invalid([FieldError("body", f"/{self._name}", f"This must have at most {self._most} items.")])
        if len(errors) >= MOST_ERRORS:
            # The others are parsed only: what is not JSON is told first.
            return
        try:
            items.append(self._adapter.validate_python(self._known.curtail(item.value)))
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors += field_errors("body", found, f"/{self._name}/{item.index}", self._known)
