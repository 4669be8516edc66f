"""The HTTP of lists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from taskward.errors import StaleVersion
from taskward.http.dependencies import CurrentCaller, OwnerSession, UnlessOver, UserLimits
from taskward.http.idempotency import idempotent
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import ETAG, LOCATION, NOT_MODIFIED, answers, operation_id
from taskward.http.responses import (
    IfMatch,
    IfNoneMatch,
    allowed_versions,
    collection_response,
    collection_tag,
    entity_response,
    public_path,
)
from taskward.http.routing import PrecompiledRoute
from taskward.lists.errors import ListForbidden, ListIdTaken, ListNotFound
from taskward.lists.list_json import list_json
from taskward.lists.schemas import ListCounted, ListCreate, ListId, ListMove, ListRead, ListUpdate, WithTasks
from taskward.lists.store import ListStore

PATH = f"{BASE_PATH}/lists"

router = APIRouter(prefix=PATH, tags=["lists"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id)


def list_store(session: OwnerSession, limits: UserLimits) -> ListStore:
    return ListStore(session, limits)


Lists = Annotated[ListStore, Depends(list_store)]
_WRITE_PROBLEMS = [ListForbidden, ListNotFound, StaleVersion]


@router.get(
    "",
    response_model=list[ListCounted],
    summary="List lists",
    responses={**answers(200, "All lists, in their order.", ETAG), **NOT_MODIFIED},
)
async def list_lists(
    caller: CurrentCaller, _room: UnlessOver, lists: Lists, if_none_match: IfNoneMatch = None
) -> Response:
    """All your lists, in their order, each with how many open and done tasks are in it; the trash does not count."""
    user_id = caller.owner.user_id
    if if_none_match is not None:
        # Before anything is counted, which looks at every task.
        account = await lists.account()
        current = collection_tag(user_id, None if account is None else (account["epoch"], account["clock"]), "lists")
        if if_none_match.matches(current):
            return collection_response([], current, if_none_match=if_none_match)
    rows = await lists.list()
    known = (rows[0]["epoch"], rows[0]["clock"]) if rows else None
    tag = collection_tag(user_id, known, "lists")
    documents = [row["list"] for row in rows if row["id"] is not None]
    return collection_response(documents, tag)


@router.post(
    "",
    status_code=201,
    response_model=ListRead,
    summary="Create a list",
    responses=answers(201, "The new list.", ETAG, LOCATION, problems=[ListIdTaken]),
)
@idempotent
async def create_list(request: Request, new: ListCreate, lists: Lists) -> Response:
    """Create a list; it comes last."""
    row = await lists.add(new)
    location = public_path(request, f"{PATH}/{row['id']}")
    return entity_response(row, list_json, status=201, headers={"Location": location})


@router.get(
    "/{list_id}",
    response_model=ListRead,
    summary="Read a list",
    responses={**answers(200, "The list.", ETAG, problems=[ListForbidden, ListNotFound]), **NOT_MODIFIED},
)
async def get_list(list_id: ListId, lists: Lists, if_none_match: IfNoneMatch = None) -> Response:
    """One of your lists. Its tasks are at `/tasks?list_id=`."""
    row = await lists.get(list_id)
    return entity_response(row, list_json, if_none_match=if_none_match)


@router.patch(
    "/{list_id}",
    response_model=ListRead,
    summary="Change a list",
    responses=answers(200, "The changed list.", ETAG, problems=_WRITE_PROBLEMS),
)
async def update_list(list_id: ListId, patch: ListUpdate, lists: Lists, if_match: IfMatch = None) -> Response:
    """Change some members (JSON Merge Patch, RFC 7396): those that are left out stay, `null` clears."""
    row = await lists.update(list_id, patch.changes(), allowed_versions(if_match))
    return entity_response(row, list_json)


@router.post(
    "/{list_id}/move",
    response_model=ListRead,
    summary="Move a list",
    responses=answers(200, "The moved list.", ETAG, problems=_WRITE_PROBLEMS),
)
@idempotent
async def move_list(list_id: ListId, move: ListMove, lists: Lists, if_match: IfMatch = None) -> Response:
    """Put a list after another one, or first."""
    row = await lists.move(list_id, move.after, allowed_versions(if_match))
    return entity_response(row, list_json)


@router.delete(
    "/{list_id}",
    status_code=204,
    response_model=None,
    summary="Delete a list",
    responses=answers(204, "The list is gone.", problems=_WRITE_PROBLEMS),
)
async def delete_list(
    list_id: ListId,
    lists: Lists,
    tasks: Annotated[
        WithTasks | None, Query(description="What becomes of its tasks; needed unless it has none.")
    ] = None,
    if_match: IfMatch = None,
) -> Response:
    """Delete a list for good. With `tasks=trash` its tasks and their subtasks go to the trash, with `tasks=keep` they
    stay, in no list.
    """
    await lists.remove(list_id, tasks, allowed_versions(if_match))
    return Response(status_code=204)
