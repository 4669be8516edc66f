"""The task routes."""

import uuid
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, status
from sqlmodel import col, select

from bench.peers.common.auth import CurrentUser
from bench.peers.common.database import SessionDep
from bench.peers.common.models import Task, TaskCreate, TaskPublic, TaskUpdate

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])


async def get_own_task(session: SessionDep, task_id: uuid.UUID, user_id: str) -> Task:
    """The user's task; 404 when there is none, 403 when it is another user's."""
    task = await session.get(Task, task_id)
    if task is None:
        raise HTTPException(status_code=status.HTTP_404_NOT_FOUND, detail="Task not found")
    if task.user_id != user_id:
        raise HTTPException(status_code=status.HTTP_403_FORBIDDEN, detail="Not your task")
    return task


@router.get("", response_model=list[TaskPublic])
async def list_tasks(
    session: SessionDep,
    user_id: CurrentUser,
    completed: bool | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[Task]:
    """The user's tasks, newest first."""
    statement = select(Task).where(Task.user_id == user_id)
    if completed is not None:
        statement = statement.where(Task.completed == completed)
    result = await session.exec(statement.order_by(col(Task.created_at).desc()).offset(offset).limit(limit))
    return list(result.all())


@router.post("", response_model=TaskPublic, status_code=status.HTTP_201_CREATED)
async def create_task(session: SessionDep, user_id: CurrentUser, body: TaskCreate) -> Task:
    """Create a task."""
    task = Task(**body.model_dump(), user_id=user_id)
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task


@router.get("/{task_id}", response_model=TaskPublic)
async def get_task(session: SessionDep, user_id: CurrentUser, task_id: uuid.UUID) -> Task:
    """One task."""
    return await get_own_task(session, task_id, user_id)


@router.patch("/{task_id}", response_model=TaskPublic)
async def update_task(session: SessionDep, user_id: CurrentUser, task_id: uuid.UUID, body: TaskUpdate) -> Task:
    """Change the members that were sent."""
    task = await get_own_task(session, task_id, user_id)
    task.sqlmodel_update(body.model_dump(exclude_unset=True))
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task


@router.patch("/{task_id}/complete", response_model=TaskPublic)
async def toggle_task(session: SessionDep, user_id: CurrentUser, task_id: uuid.UUID) -> Task:
    """Complete a task, or reopen a completed one."""
    task = await get_own_task(session, task_id, user_id)
    task.completed = not task.completed
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task
