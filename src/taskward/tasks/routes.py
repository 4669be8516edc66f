"""The HTTP of tasks."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from taskward.errors import StaleVersion, TaskForbidden, TaskIdTaken, TaskNotFound
from taskward.tasks.models import (
    Completion,
    QueryBoolean,
    TaskCreate,
    TaskFilters,
    TaskId,
    TaskRead,
    TaskReplace,
    TaskUpdate,
)
from taskward.tasks.query import Listing, listing
from taskward.tasks.store import TaskStore
from taskward.web.answers import (
    ENTITY_CACHE,
    EntityTags,
    IfMatch,
    IfNoneMatch,
    document_answer,
    entity_answer,
    public_path,
)
from taskward.web.dependencies import CurrentCaller, OwnerSession
from taskward.web.middleware import BASE_PATH
from taskward.web.openapi import ETAG, LINK, LOCATION, NOT_MODIFIED, answers, operation_id
from taskward.web.routing import SessionRoute

PATH = f"{BASE_PATH}/tasks"

router = APIRouter(prefix=PATH, tags=["tasks"], route_class=SessionRoute, generate_unique_id_function=operation_id)


def task_store(session: OwnerSession) -> TaskStore:
    return TaskStore(session)


Tasks = Annotated[TaskStore, Depends(task_store)]


@router.get(
    "",
    response_model=list[TaskRead],
    summary="List tasks",
    responses={**answers(200, "A page of tasks, newest first.", ETAG, LINK), **NOT_MODIFIED},
)
async def list_tasks(
    request: Request,
    caller: CurrentCaller,
    tasks: Tasks,
    filters: Annotated[TaskFilters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Your live tasks, newest first, a page at a time. While there are more, `Link` has the next page's URL."""
    wanted = listing(filters)
    user_id = caller.owner.user_id
    if if_none_match is not None:
        # Read first, and apart: a write in between makes the tag older than the page, never newer.
        account = await tasks.account()
        tag = _collection_tag(user_id, None if account is None else (account["epoch"], account["clock"]), wanted)
        if if_none_match.matches(tag):
            return Response(status_code=304, headers={"ETag": tag, "Cache-Control": ENTITY_CACHE})
    rows = await tasks.list(wanted)
    tag = _collection_tag(user_id, (rows[0]["epoch"], rows[0]["clock"]) if rows else None, wanted)
    found = rows if rows and rows[0]["id"] is not None else []
    headers = {"ETag": tag, "Cache-Control": ENTITY_CACHE}
    if len(found) > wanted.limit:
        found.pop()
        headers["Link"] = f'<{_next_page(request, wanted, found[-1]["id"])}>; rel="next"'
    return document_answer(f"[{','.join([row['task'] for row in found])}]", headers=headers)


@router.post(
    "",
    status_code=201,
    response_model=TaskRead,
    summary="Create a task",
    responses=answers(201, "The new task.", ETAG, LOCATION, problems=[TaskIdTaken]),
)
async def create_task(request: Request, task: TaskCreate, tasks: Tasks) -> Response:
    """Create a task. With an `id` of your own the request can be repeated safely: the second answers 409."""
    row = await tasks.add(task)
    location = public_path(request, f"{PATH}/{row['id']}")
    return entity_answer(row["task"], row["version"], status=201, headers={"Location": location})


@router.get(
    "/{task_id}",
    response_model=TaskRead,
    summary="Read a task",
    responses={**answers(200, "The task.", ETAG, problems=[TaskForbidden, TaskNotFound]), **NOT_MODIFIED},
)
async def get_task(task_id: TaskId, tasks: Tasks, if_none_match: IfNoneMatch = None) -> Response:
    """One of your live tasks."""
    row = await tasks.get(task_id)
    return entity_answer(row["task"], row["version"], if_none_match=if_none_match)


_WRITE_PROBLEMS = [TaskForbidden, TaskNotFound, StaleVersion]


@router.patch(
    "/{task_id}",
    response_model=TaskRead,
    summary="Change a task",
    responses=answers(200, "The changed task.", ETAG, problems=_WRITE_PROBLEMS),
)
async def update_task(task_id: TaskId, patch: TaskUpdate, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """Change some members (JSON Merge Patch, RFC 7396): those that are left out stay, `null` clears."""
    row = await tasks.update(task_id, patch.changes(), _versions(if_match))
    return entity_answer(row["task"], row["version"])


@router.put(
    "/{task_id}",
    response_model=TaskRead,
    summary="Put a task back",
    responses=answers(200, "The changed task.", ETAG, problems=_WRITE_PROBLEMS),
)
async def replace_task(task_id: TaskId, task: TaskReplace, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """As PATCH: what is not sent is never wiped. Members that only the server writes are ignored."""
    row = await tasks.update(task_id, task.changes(), _versions(if_match))
    return entity_answer(row["task"], row["version"])


@router.patch(
    "/{task_id}/complete",
    response_model=TaskRead,
    summary="Complete or reopen a task",
    responses=answers(200, "The changed task.", ETAG, problems=_WRITE_PROBLEMS),
)
async def complete_task(
    task_id: TaskId,
    tasks: Tasks,
    completion: Annotated[Completion, Body(default_factory=Completion)],
    if_match: IfMatch = None,
) -> Response:
    """Without a body: toggle. With one: set, which can be repeated safely."""
    versions = _versions(if_match)
    if not completion.model_fields_set:
        row = await tasks.toggle(task_id, versions)
    else:
        row = await tasks.update(task_id, {"completed": completion.completed}, versions)
    return entity_answer(row["task"], row["version"])


@router.delete(
    "/{task_id}",
    status_code=204,
    response_model=None,
    summary="Delete a task",
    responses=answers(204, "The task is in the trash, or gone for good.", problems=_WRITE_PROBLEMS),
)
async def delete_task(
    task_id: TaskId,
    tasks: Tasks,
    permanent: Annotated[QueryBoolean, Query(description="Erase it for good, from the trash too.")] = False,  # noqa: FBT002
    if_match: IfMatch = None,
) -> Response:
    """Move a task to the trash, from where it can be restored; or erase it for good."""
    if permanent:
        await tasks.erase(task_id, _versions(if_match))
    else:
        await tasks.trash(task_id, _versions(if_match))
    return Response(status_code=204)


@router.post(
    "/{task_id}/restore",
    response_model=TaskRead,
    summary="Restore a task",
    responses=answers(200, "The restored task.", ETAG, problems=_WRITE_PROBLEMS),
)
async def restore_task(task_id: TaskId, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """Take a task out of the trash. A task that is not in the trash is answered as it is."""
    row = await tasks.restore(task_id, _versions(if_match))
    return entity_answer(row["task"], row["version"])


def _versions(if_match: EntityTags | None) -> list[int] | None:
    return None if if_match is None else if_match.versions()


def _collection_tag(user_id: str, clock: tuple[object, int] | None, wanted: Listing) -> str:
    """The tag of a listing: of whose it is, of which life of the account, of its clock and of the query."""
    state = f"{user_id}\n{clock}\n{wanted.fingerprint}"
    return f'"{blake2b(state.encode(), digest_size=16).hexdigest()}"'


def _next_page(request: Request, wanted: Listing, last: UUID) -> str:
    given = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return public_path(request, f"{PATH}?{urlencode([*given, ('cursor', wanted.next_cursor(last))])}")
