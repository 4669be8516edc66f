"""The HTTP of tags."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from taskward.http.dependencies import CurrentCaller, OwnerSession, UnlessOver
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import ETAG, NOT_MODIFIED, answers, operation_id
from taskward.http.responses import IfNoneMatch, collection_response, collection_tag, document_response
from taskward.http.routing import PrecompiledRoute
from taskward.tags.errors import TagNotFound
from taskward.tags.schemas import TagName, TagRead, TagRename
from taskward.tags.store import TagStore

PATH = f"{BASE_PATH}/tags"

router = APIRouter(prefix=PATH, tags=["tags"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id)


def tag_store(session: OwnerSession) -> TagStore:
    return TagStore(session)


Tags = Annotated[TagStore, Depends(tag_store)]


@router.get(
    "",
    response_model=list[TagRead],
    summary="List tags",
    responses={**answers(200, "The tags in use, by name.", ETAG), **NOT_MODIFIED},
)
async def list_tags(
    caller: CurrentCaller, _room: UnlessOver, tags: Tags, if_none_match: IfNoneMatch = None
) -> Response:
    """The tags that your live tasks have, and how many have each."""
    rows = await tags.list()
    known = (rows[0]["epoch"], rows[0]["clock"]) if rows else None
    tag = collection_tag(caller.owner.user_id, known, "tags")
    return collection_response([row["tag"] for row in rows if row["tag"] is not None], tag, if_none_match=if_none_match)


@router.patch(
    "/{tag:path}",
    response_model=TagRead,
    summary="Rename a tag",
    responses=answers(200, "The tag by its new name.", problems=[TagNotFound]),
)
async def rename_tag(tag: TagName, rename: TagRename, tags: Tags) -> Response:
    """Rename a tag on every task that has it, those in the trash as well."""
    return document_response((await tags.rename(tag, rename.name))["tag"])


@router.delete(
    "/{tag:path}",
    status_code=204,
    response_model=None,
    summary="Remove a tag",
    responses=answers(204, "No task has the tag any more.", problems=[TagNotFound]),
)
async def remove_tag(tag: TagName, tags: Tags) -> Response:
    """Take a tag from every task that has it, those in the trash as well."""
    await tags.remove(tag)
    return Response(status_code=204)
