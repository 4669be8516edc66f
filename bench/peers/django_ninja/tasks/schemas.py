"""What goes in and out."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from ninja import Schema
from pydantic import Field

Title = Annotated[str, Field(min_length=1, max_length=255)]
Description = Annotated[str, Field(max_length=10_000)]


class TaskIn(Schema):
    """The body of a create."""

    title: Title
    description: Description | None = None


class TaskPatch(Schema):
    """The body of a change; a default is never stored, because members left out are not."""

    title: Title = ""
    description: Description | None = None


class TaskOut(Schema):
    """A task as it is answered."""

    id: UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime
