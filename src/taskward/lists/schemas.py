"""A list as clients send it and are sent it. No SQL lives here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import WithJsonSchema
from uuid_utils.compat import uuid7

from taskward.kit.declaration import Member, example_of, partial, reading
from taskward.kit.types import UUID_SCHEMA, NewId, Reference, merge_patch, parse_uuid
from taskward.lists.errors import ListNotFound
from taskward.lists.fields import ListFields

_EXAMPLE_ID = "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01"


def _list_id(value: object) -> UUID:
    found = parse_uuid(value)
    if found is None:
        raise ListNotFound
    return found


ListId = Annotated[UUID, BeforeValidator(_list_id), WithJsonSchema({**UUID_SCHEMA, "examples": [_EXAMPLE_ID]})]
"""An id in a path. What is not a UUID is the id of no list: 404, not 422."""
WithTasks = Literal["trash", "keep"]


@reading(("id", "user_id", "name"))
class ListRead(ListFields):
    """A list."""

    id: Annotated[
        UUID, Member("A UUIDv7, made before it is written: created_at has the order of creation.", _EXAMPLE_ID)
    ]
    user_id: Annotated[str, Member("The owner: your token's user claim.", "alice")]
    position: Annotated[str, Member("Orders the lists, compared byte by byte.", _EXAMPLE_ID)]
    version: Annotated[
        int, Member("The owner's clock at the last change; the ETag is this in double quotes.", example=7)
    ]
    created_at: Annotated[datetime, Member("When it was made.", "2026-01-10T09:30:00.123456Z")]
    updated_at: Annotated[datetime, Member("When it was last changed.", "2026-01-10T09:30:00.123456Z")]


EXAMPLE = example_of(ListRead)


class ListCreate(ListFields):
    """A new list."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"name": "Household", "color": "#2f855a"}]}
    )

    id: NewId = Field(
        default_factory=uuid7, description="A UUIDv7 of your own, for creating offline; else one is made."
    )


@partial
class ListUpdate(ListFields):
    """A merge patch (RFC 7396): members that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=merge_patch({"name": "Home"}))

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        return {name: getattr(self, name) for name in ListUpdate.model_fields if name in self.model_fields_set}


class ListMove(BaseModel):
    """Where a list shall be."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"after": None}, {"after": _EXAMPLE_ID}]}
    )

    after: Reference | None = Field(
        default=None, description="The list that it shall come after; null, or left out, for the first place."
    )


class ListCounted(ListRead):
    """A list with what is in it, as all lists are read: what an ETag of the list alone would not tell of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE, "open_tasks": 3, "done_tasks": 8}]})

    open_tasks: int = Field(description="How many live tasks of the list are not done.")
    done_tasks: int = Field(description="How many live tasks of the list are done.")
