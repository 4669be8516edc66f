"""The HTTP of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from taskward.errors import FieldError, Invalid, StaleVersion
from taskward.http import problems
from taskward.http.dependencies import AnswerRoom, CurrentCaller, OwnerSession, UnlessOver, UserLimits
from taskward.http.idempotency import Once, idempotent, own_once
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import (
    ETAG,
    LOCATION,
    NOT_MODIFIED,
    PREFERENCE_APPLIED,
    TOTAL,
    Header,
    answers,
    next_page,
    operation_id,
)
from taskward.http.preferences import APPLIED, Representation
from taskward.http.query_string import with_cursor
from taskward.http.reading import RequestBody
from taskward.http.responses import (
    IfMatch,
    IfNoneMatch,
    allowed_versions,
    collection_response,
    collection_tag,
    document_response,
    encode,
    entity_response,
    public_path,
)
from taskward.http.routing import PrecompiledRoute
from taskward.http.services import services
from taskward.tasks import trash
from taskward.tasks.batch import LARGEST_BATCH, Batch, BatchResults, Outcome
from taskward.tasks.errors import Cycle, TaskForbidden, TaskIdTaken, TaskNotFound
from taskward.tasks.filters import TaskFilters
from taskward.tasks.parameters import QueryBoolean, QueryReference
from taskward.tasks.query import prepared_listing
from taskward.tasks.schemas import (
    TaskCompletion,
    TaskCreate,
    TaskMove,
    TaskRead,
    TaskReplace,
    TaskUpdate,
    no_completion,
)
from taskward.tasks.store import TaskStore, Written
from taskward.tasks.task_json import task_json
from taskward.tasks.types import TaskId

PATH = f"{BASE_PATH}/tasks"

router = APIRouter(prefix=PATH, tags=["tasks"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id)


def task_store(session: OwnerSession, limits: UserLimits) -> TaskStore:
    return TaskStore(session, limits)


def own_transactions(request: Request, caller: CurrentCaller) -> trash.Begin:
    """What begins transactions as the caller: for what takes several, between which others get in."""
    return partial(services(request).database.session, caller.owner)


Tasks = Annotated[TaskStore, Depends(task_store)]
OwnTransactions = Annotated[trash.Begin, Depends(own_transactions)]
OnlyTrash = Annotated[
    Literal["true"], Query(description="`true`, since the trash is meant and not every task: nothing else is emptied.")
]
_NEXT_OCCURRENCE: Header = (
    "Link",
    {
        "description": 'The task that follows in the series, as `<…>; rel="next-occurrence"`; absent if none was made.',
        "schema": {"type": "string", "examples": [f'<{PATH}/…>; rel="next-occurrence"']},
    },
)
_WRITE_PROBLEMS = [TaskForbidden, TaskNotFound, StaleVersion]
_CHANGE_PROBLEMS = [*_WRITE_PROBLEMS, Cycle]


@router.get(
    "",
    response_model=list[TaskRead],
    summary="List tasks",
    responses={**answers(200, "A page of tasks.", ETAG, next_page(PATH), TOTAL), **NOT_MODIFIED},
)
async def list_tasks(  # noqa: PLR0917 - a route is called by what its signature names
    request: Request,
    caller: CurrentCaller,
    tasks: Tasks,
    room: AnswerRoom,
    filters: Annotated[TaskFilters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Your live tasks, newest first unless you say otherwise, a page at a time. While there are more, `Link` has the
    next page's URL.
    """
    wanted = await prepared_listing(filters)
    user_id = caller.owner.user_id
    if if_none_match is not None and not wanted.depends_on_time:
        # Read first, and apart: a write in between makes the tag older than the page, never newer.
        account = await tasks.account()
        known = None if account is None else (account["epoch"], account["clock"])
        current = collection_tag(user_id, known, wanted.fingerprint)
        if if_none_match.matches(current):
            return collection_response([], current, if_none_match=if_none_match)
    page = await tasks.list(wanted, room.most, room.most_each(wanted.limit))
    if filters.cursor is not None and not page.tasks:
        await _check_there(tasks, filters)
    headers = {}
    if page.next_cursor is not None:
        headers["Link"] = f'<{_next_page(request, page.next_cursor)}>; rel="next"'
    if wanted.counting is not None:
        headers["X-Total-Count"] = str(await tasks.count(wanted))
    tag = None if wanted.depends_on_time else collection_tag(user_id, page.account, wanted.fingerprint)
    return collection_response(page.tasks, tag, headers=headers)


@router.post(
    "",
    status_code=201,
    response_model=TaskRead,
    summary="Create a task",
    responses=answers(201, "The new task.", ETAG, LOCATION, problems=[TaskIdTaken]),
)
@idempotent
async def create_task(request: Request, task: TaskCreate, tasks: Tasks) -> Response:
    """Create a task. With an `id` of your own the request can be repeated safely: the second answers 409."""
    row = await tasks.add(task)
    location = public_path(request, f"{PATH}/{row['id']}")
    return entity_response(row, task_json, status=201, headers={"Location": location})


@router.post(
    "/batch",
    response_model=BatchResults,
    summary="Change several tasks",
    responses=answers(200, "What each operation did.", problems=[*_WRITE_PROBLEMS, TaskIdTaken, Cycle]),
)
async def change_tasks(
    request: Request,
    batch: Annotated[Batch, RequestBody(largest=LARGEST_BATCH, long="operations")],
    _room: UnlessOver,
    tasks: Tasks,
    once: Annotated[Once, Depends(own_once)],
) -> Response:
    """Make up to 100 changes in one request, in their order. Unless `atomic` is false, all are written or none is: the
    first that is refused is the answer, with its `index`.
    """
    # Before the key is taken, which is written: a Citus coordinator would not ask then.
    others = await tasks.others(batch)

    async def change() -> Response:
        outcomes, rows = await tasks.apply(batch, others)
        return document_response(f'{{"results":[{",".join([_result(request, one, rows) for one in outcomes])}]}}')

    return await once.run(change)


@router.delete(
    "",
    status_code=204,
    response_model=None,
    summary="Empty the trash",
    responses=answers(204, "What was in the trash is gone for good."),
)
async def empty_trash(
    begin: OwnTransactions,
    limits: UserLimits,
    deleted: OnlyTrash,  # noqa: ARG001 - that it is there is all that it says
) -> Response:
    """Erase every task that is in the trash, little by little, so that other requests get in between. If it ends before
    all is erased, as by a timeout, repeat it.
    """
    await trash.empty_trash(begin, limits)
    return Response(status_code=204)


@router.delete(
    "/completed",
    status_code=204,
    response_model=None,
    summary="Clear what is completed",
    responses=answers(204, "What was completed is in the trash."),
)
async def clear_completed(
    begin: OwnTransactions,
    limits: UserLimits,
    list_id: Annotated[QueryReference, Query(description="Only those in this list; `none`: in no list.")] = None,
) -> Response:
    """Move every completed task to the trash with its subtasks, little by little, so that other requests get in
    between. One with an open subtask stays.
    """
    await trash.clear_completed(begin, limits, list_id)
    return Response(status_code=204)


@router.get(
    "/{task_id}",
    response_model=TaskRead,
    summary="Read a task",
    responses={**answers(200, "The task.", ETAG, problems=[TaskForbidden, TaskNotFound]), **NOT_MODIFIED},
)
async def get_task(task_id: TaskId, tasks: Tasks, if_none_match: IfNoneMatch = None) -> Response:
    """One of your live tasks."""
    row = await tasks.get(task_id)
    return entity_response(row, task_json, if_none_match=if_none_match)


@router.patch(
    "/{task_id}",
    response_model=TaskRead,
    summary="Change a task",
    responses=answers(200, "The changed task.", ETAG, _NEXT_OCCURRENCE, problems=_CHANGE_PROBLEMS),
)
async def update_task(
    request: Request, task_id: TaskId, patch: TaskUpdate, tasks: Tasks, if_match: IfMatch = None
) -> Response:
    """Change some members (JSON Merge Patch, RFC 7396): those that are left out stay, `null` clears."""
    return _written(request, await tasks.update(task_id, patch.changes(), allowed_versions(if_match)))


@router.put(
    "/{task_id}",
    response_model=TaskRead,
    summary="Put a task back",
    responses=answers(200, "The changed task.", ETAG, _NEXT_OCCURRENCE, problems=_CHANGE_PROBLEMS),
)
async def replace_task(
    request: Request, task_id: TaskId, task: TaskReplace, tasks: Tasks, if_match: IfMatch = None
) -> Response:
    """As PATCH: what is not sent is never wiped. Members that only the server writes are ignored; `metadata` is
    replaced as a whole.
    """
    versions = allowed_versions(if_match)
    return _written(request, await tasks.update(task_id, task.changes(), versions, replaces=True))


@router.patch(
    "/{task_id}/complete",
    response_model=TaskRead,
    summary="Complete or reopen a task",
    responses=answers(200, "The changed task.", ETAG, _NEXT_OCCURRENCE, problems=_WRITE_PROBLEMS),
)
async def complete_task(
    request: Request,
    task_id: TaskId,
    tasks: Tasks,
    completion: Annotated[TaskCompletion, Body(default_factory=no_completion)],
    if_match: IfMatch = None,
) -> Response:
    """Without a body: toggle. With one: set, which can be repeated safely. A recurring task stays, done, and the next
    of its series is made: `Link` has its path.
    """
    versions = allowed_versions(if_match)
    if not completion.model_fields_set:
        return _written(request, await tasks.toggle(task_id, versions))
    changes, subtasks = completion.changes(), completion.subtasks
    return _written(request, await tasks.update(task_id, changes, versions, subtasks=subtasks))


@router.delete(
    "/{task_id}",
    status_code=204,
    response_model=None,
    summary="Delete a task",
    responses={
        **answers(204, "The task is in the trash, or gone for good.", problems=_WRITE_PROBLEMS),
        200: {
            **answers(200, "With `Prefer: return=representation`: the task in the trash.", ETAG, PREFERENCE_APPLIED)[
                200
            ],
            "model": TaskRead,
        },
    },
)
async def delete_task(
    task_id: TaskId,
    tasks: Tasks,
    permanent: Annotated[QueryBoolean, Query(description="Erase it for good, from the trash too.")] = False,  # noqa: FBT002
    if_match: IfMatch = None,
    representation: Representation = None,
) -> Response:
    """Move a task to the trash with its subtasks, from where it can be restored; or erase them for good. Of what is
    erased there is no representation, so that preference is ignored.
    """
    if permanent:
        await tasks.erase(task_id, allowed_versions(if_match))
        return Response(status_code=204)
    row = await tasks.trash(task_id, allowed_versions(if_match))
    if representation:
        return entity_response(row, task_json, headers=APPLIED)
    return Response(status_code=204)


@router.post(
    "/{task_id}/restore",
    response_model=TaskRead,
    summary="Restore a task",
    responses=answers(200, "The restored task.", ETAG, problems=_WRITE_PROBLEMS),
)
@idempotent
async def restore_task(task_id: TaskId, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """Take a task out of the trash, with the subtasks that went with it. One that is not in the trash is answered as
    it is.
    """
    row = await tasks.restore(task_id, allowed_versions(if_match))
    return entity_response(row, task_json)


@router.post(
    "/{task_id}/move",
    response_model=TaskRead,
    summary="Move a task",
    responses=answers(200, "The moved task.", ETAG, problems=_CHANGE_PROBLEMS),
)
@idempotent
async def move_task(task_id: TaskId, move: TaskMove, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """Put a task after another one, or first, in a list or under a task. Without `list_id` and `parent_id` it stays
    where it is, at another place.
    """
    row = await tasks.move(task_id, move.changes(), move.after, allowed_versions(if_match))
    return entity_response(row, task_json)


def _written(request: Request, written: Written) -> Response:
    headers = {}
    if written.next_id is not None:
        headers["Link"] = f'<{public_path(request, f"{PATH}/{written.next_id}")}>; rel="next-occurrence"'
    return entity_response(written.row, task_json, headers=headers)


def _result(request: Request, outcome: Outcome, rows: Mapping[UUID, Any]) -> str:
    if outcome.problem is not None:
        problem = encode(problems.document(request.scope, outcome.problem)).decode()
        return f'{{"status":{outcome.status},"problem":{problem}}}'
    row = None if outcome.is_gone else rows.get(outcome.task_id)
    following = "" if outcome.next_id is None else f',"next_id":"{outcome.next_id}"'
    return f'{{"status":{outcome.status},"task":{"null" if row is None else task_json(row)}{following}}}'


async def _check_there(tasks: TaskStore, filters: TaskFilters) -> None:
    """Tell a listing that has ended from one whose list or parent has gone since its page before.

    Raises:
        Invalid: It is gone.
    """
    names = (filters.list_id, filters.parent_id)
    list_id, parent_id = (one if isinstance(one, UUID) else None for one in names)
    if not await tasks.are_there(list_id=list_id, parent_id=parent_id):
        raise Invalid(
            [FieldError("query", "/cursor", "The list or task that this is a page of is not there any more.")]
        )


def _next_page(request: Request, cursor: str) -> str:
    return public_path(request, f"{PATH}?{with_cursor(request.scope, cursor)}")
