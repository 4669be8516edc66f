"""What a list has: the members that clients write, from which the table, the schemas and the JSON follow."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from taskward.kit.declaration import Member, declared
from taskward.kit.types import Color, Line


@declared
class ListFields(BaseModel):
    """The members of a list."""

    name: Annotated[Line, Member("What it is called.", "Household")]
    color: Annotated[Color | None, Member("A color, for your app; null for none.", "#2f855a")] = None
