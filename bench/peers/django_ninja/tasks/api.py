"""The task routes."""

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import aget_object_or_404
from django.views.decorators.http import conditional_page
from ninja import Query, Router
from ninja.decorators import decorate_view
from ninja.errors import AuthorizationError

from bench.peers.django_ninja.tasks.models import Task
from bench.peers.django_ninja.tasks.schemas import TaskIn, TaskOut, TaskPatch

router = Router(tags=["tasks"])


class UserRequest(HttpRequest):
    """A request that passed `TokenAuth`."""

    auth: str


async def get_own_task(request: UserRequest, task_id: UUID) -> Task:
    """The user's task; 404 when there is none, 403 when it is another user's."""
    task: Task = await aget_object_or_404(Task, id=task_id)
    if task.user_id != request.auth:
        raise AuthorizationError
    return task


@router.get("", response=list[TaskOut])
@decorate_view(conditional_page)
async def list_tasks(
    request: UserRequest,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
    completed: bool | None = None,
) -> list[Task]:
    """The user's tasks, newest first."""
    tasks = Task.objects.filter(user_id=request.auth).order_by("-created_at")
    if completed is not None:
        tasks = tasks.filter(completed=completed)
    return [task async for task in tasks[offset : offset + limit]]


@router.post("", response={201: TaskOut})
async def create_task(request: UserRequest, body: TaskIn) -> Any:
    """Create a task."""
    return await Task.objects.acreate(user_id=request.auth, **body.dict())


@router.get("/{task_id}", response=TaskOut)
@decorate_view(conditional_page)
async def get_task(request: UserRequest, task_id: UUID) -> Task:
    """One task."""
    return await get_own_task(request, task_id)


@router.patch("/{task_id}", response=TaskOut)
async def change_task(request: UserRequest, task_id: UUID, body: TaskPatch) -> Task:
    """Change the members that the body has."""
    task = await get_own_task(request, task_id)
    changes = body.dict(exclude_unset=True)
    for name, value in changes.items():
        setattr(task, name, value)
    await task.asave(update_fields=[*changes, "updated_at"])
    return task


@router.patch("/{task_id}/complete", response=TaskOut)
async def toggle_task(request: UserRequest, task_id: UUID) -> Task:
    """Complete a task, or reopen a completed one."""
    task = await get_own_task(request, task_id)
    task.completed = not task.completed
    await task.asave(update_fields=["completed", "updated_at"])
    return task
