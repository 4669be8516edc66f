"""A list as clients send it and are sent it. No SQL lives here."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict
from pydantic.json_schema import WithJsonSchema
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from taskward.errors import ListNotFound
from taskward.kit.types import UUID_SCHEMA, Line, NewId, Reference, merge_patch, parse_uuid

EXAMPLE: dict[str, Any] = {
    "id": "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01",
    "user_id": "alice",
    "name": "Household",
    "color": "#2f855a",
    "position": "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01",
    "version": 7,
    "created_at": "2026-01-10T09:30:00.123456Z",
    "updated_at": "2026-01-10T09:30:00.123456Z",
}
_COLOR = "^#[0-9a-fA-F]{6}$"


def _color(text: str) -> str:
    if not re.fullmatch(_COLOR, text):
        raise ValueError("This must be # and six hexadecimal digits, such as #2f855a.")
    return text.lower()


def _list_id(value: object) -> UUID:
    found = parse_uuid(value)
    if found is None:
        raise ListNotFound
    return found


ListId = Annotated[UUID, BeforeValidator(_list_id), WithJsonSchema({**UUID_SCHEMA, "examples": [EXAMPLE["id"]]})]
"""An id in a path. What is not a UUID is the id of no list: 404, not 422."""
Color = Annotated[
    str,
    AfterValidator(_color),
    WithJsonSchema({"type": "string", "pattern": _COLOR, "examples": ["#2f855a"]}),
]
WithTasks = Literal["trash", "keep"]


class ListCreate(SQLModel):
    """A new list."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid", strict=True, json_schema_extra={"examples": [{"name": "Household", "color": "#2f855a"}]}
    )

    id: NewId = Field(
        default_factory=uuid7, description="A UUIDv7 of your own, for creating offline; else one is made."
    )
    name: Line = Field(description="What it is called.")
    color: Color | None = Field(default=None, description="A color, for your app.")


class ListUpdate(SQLModel):
    """A merge patch (RFC 7396): members that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=merge_patch({"name": "Home"}))  # type: ignore[assignment]

    name: Line = Field(default="", description="What it is called.")
    color: Color | None = Field(default=None, description="A color, for your app; null for none.")

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        return {name: getattr(self, name) for name in ListUpdate.model_fields if name in self.model_fields_set}


class ListMove(SQLModel):
    """Where a list shall be."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid", strict=True, json_schema_extra={"examples": [{"after": None}, {"after": EXAMPLE["id"]}]}
    )

    after: Reference | None = Field(
        default=None, description="The list that it shall come after; null, or left out, for the first place."
    )


class ListRead(SQLModel):
    """A list."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})  # type: ignore[assignment]

    id: UUID = Field(description="A UUIDv7, made before it is written: created_at has the order of creation.")
    user_id: str = Field(description="The owner: your token's user claim.")
    name: str
    color: str | None
    position: str = Field(description="Orders the lists, compared byte by byte.")
    version: int = Field(description="The owner's clock at the last change; the ETag is this in double quotes.")
    created_at: datetime
    updated_at: datetime


class ListCounted(ListRead):
    """A list with what is in it, as all lists are read: what an ETag of the list alone would not tell of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE, "open_tasks": 3, "done_tasks": 8}]})

    open_tasks: int = Field(description="How many live tasks of the list are not done.")
    done_tasks: int = Field(description="How many live tasks of the list are done.")
