"""A problem as clients are sent it (RFC 9457), for the OpenAPI document. What is raised is in `errors`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

# Members that some problems have are left out by the others, and are never null.
_Absent = SkipJsonSchema[None]


class ProblemError(BaseModel):
    """A rule that the request breaks, and where."""

    location: Literal["body", "query", "path", "header"] = Field(alias="in")
    pointer: str = Field(description="A JSON pointer (RFC 6901).")
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="The page that explains this error.", json_schema_extra={"format": "uri-reference"})
    title: str
    status: int
    detail: str = Field(description="What to do.")
    instance: str = Field(description="The path of the request.")
    request_id: str = Field(description="As in X-Request-Id and in the log of failures.")
    version: int | _Absent = Field(default=None, description="On 412: the current version.")
    index: int | _Absent = Field(
        default=None,
        description="Which operation of a batch was refused, from 0, or which line of an import, from 1.",
    )
    limit: str | _Absent = Field(default=None, description="On 422 for a limit: which.")
    scope: str | _Absent = Field(default=None, description="On 403 for want of a scope: that scope.")
    errors: list[ProblemError] | _Absent = Field(default=None, description="On 422: what breaks which rule.")
