"""The application: `uvicorn bench.peers.litestar.app:app`."""

import os
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin,
)
from litestar import Controller, Litestar, Request, get, patch, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.openapi.config import OpenAPIConfig
from litestar.params import Parameter
from litestar.security.jwt import JWTAuth, Token
from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.litestar.models import Task, TaskCreate, TaskPublic, TaskUpdate

Limit = Annotated[int, Parameter(ge=1, le=200)]
Offset = Annotated[int, Parameter(ge=0)]


async def user_of(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The user is who the token says; there is no table of users."""
    return str(token.sub)


async def own_task(db_session: AsyncSession, task_id: uuid.UUID, user_id: str) -> Task:
    """The user's task; 404 when there is none, 403 when it is another user's."""
    task = await db_session.get(Task, task_id)
    if task is None:
        raise NotFoundException(detail="Task not found")
    if task.user_id != user_id:
        raise PermissionDeniedException(detail="Not your task")
    return task


class TaskController(Controller):
    """The task routes."""

    path = "/api/v1/tasks"
    return_dto = TaskPublic

    @get()
    async def list_tasks(
        self,
        request: Request[str, Token, Any],
        db_session: AsyncSession,
        *,
        completed: bool | None = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Sequence[Task]:
        """The user's tasks, newest first."""
        statement = select(Task).where(Task.user_id == request.user)
        if completed is not None:
            statement = statement.where(Task.completed == completed)
        result = await db_session.scalars(statement.order_by(Task.created_at.desc()).offset(offset).limit(limit))
        return result.all()

    @post()
    async def create_task(self, request: Request[str, Token, Any], db_session: AsyncSession, data: TaskCreate) -> Task:
        """Create a task."""
        task = Task(user_id=request.user, title=data.title, description=data.description)
        db_session.add(task)
        await db_session.commit()
        return task

    @get("/{task_id:uuid}")
    async def get_task(self, request: Request[str, Token, Any], db_session: AsyncSession, task_id: uuid.UUID) -> Task:
        """One task."""
        return await own_task(db_session, task_id, request.user)

    @patch("/{task_id:uuid}")
    async def update_task(
        self, request: Request[str, Token, Any], db_session: AsyncSession, task_id: uuid.UUID, data: TaskUpdate
    ) -> Task:
        """Change the members that were sent."""
        task = await own_task(db_session, task_id, request.user)
        for name, value in asdict(data).items():
            if value is not UNSET:
                setattr(task, name, value)
        await db_session.commit()
        await db_session.refresh(task)
        return task

    @patch("/{task_id:uuid}/complete")
    async def toggle_task(
        self, request: Request[str, Token, Any], db_session: AsyncSession, task_id: uuid.UUID
    ) -> Task:
        """Complete a task, or reopen a completed one."""
        task = await own_task(db_session, task_id, request.user)
        task.completed = not task.completed
        await db_session.commit()
        await db_session.refresh(task)
        return task


@get("/health", sync_to_thread=False)
def health() -> dict[str, str]:
    """Says that the process answers."""
    return {"status": "ok"}


sqlalchemy = SQLAlchemyAsyncConfig(
    connection_string=os.environ["DATABASE_URL"],
    session_config=AsyncSessionConfig(expire_on_commit=False),
    engine_config=EngineConfig(pool_size=int(os.environ["POOL_SIZE"]), max_overflow=0),
)
jwt_auth = JWTAuth[str](
    retrieve_user_handler=user_of, token_secret=os.environ["JWT_SECRET"], exclude=["^/health$", "^/schema"]
)
app = Litestar(
    route_handlers=[TaskController, health],
    plugins=[SQLAlchemyPlugin(config=sqlalchemy)],
    on_app_init=[jwt_auth.on_app_init],
    openapi_config=OpenAPIConfig(title="Tasks", version="1"),
    logging_config=None,
)
