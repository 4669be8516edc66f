"""Several changes of tasks in one request: what clients send and are sent, and how it is carried out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Tag, model_validator
from pydantic.json_schema import WithJsonSchema

from taskward.errors import Problem
from taskward.http import problem_schema
from taskward.kit.pointers import point_into
from taskward.kit.types import CONTENT_CODING, NewId, Reference
from taskward.kit.unions import UNION_TAG, by_member
from taskward.runtime.fairness import cooperatively
from taskward.tasks.changes import Complete, Create, Erase, OfOne, Restore, Trash, Update
from taskward.tasks.errors import TaskForbidden, TaskNotFound
from taskward.tasks.schemas import TaskCompletion, TaskCreate, TaskRead, TaskUpdate, no_completion
from taskward.tasks.types import EXAMPLE_ID
from taskward.tasks.unit_of_work import UnitOfWork

MOST_OPERATIONS = 100
LARGEST_BATCH = 1024 * 1024
"""Bytes that the body of a batch may have."""

_ENTITY_TAG = re.compile(f'(?:W/)?"([1-9][0-9]{{0,18}}){CONTENT_CODING}"', re.ASCII)
_STRICT = ConfigDict(extra="forbid", strict=True)


def _version(value: object) -> object:
    if isinstance(value, str) and (found := _ENTITY_TAG.fullmatch(value)):
        return int(found[1])
    if type(value) is not int:
        raise ValueError("This must be a version, such as 42, or an ETag with its quotes.")
    return value


_IfMatch = Annotated[
    Annotated[int, Field(ge=1, le=2**63 - 1)],
    BeforeValidator(_version),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
                {"type": "string", "pattern": f"^{_ENTITY_TAG.pattern}$"},
            ]
        }
    ),
]


class BatchCreate(BaseModel):
    """As `POST /tasks`."""

    model_config = _STRICT

    op: Literal["create"]
    id: NewId | None = Field(default=None, description="The new task's, as its own `id` may be.")
    task: TaskCreate

    @model_validator(mode="after")
    def _one_id(self) -> BatchCreate:
        if self.id is not None:
            if "id" in self.task.model_fields_set and self.task.id != self.id:
                raise ValueError("This must have one id: its own, or the task's.")
            self.task.id = self.id
        return self

    def change(self) -> OfOne:
        """What it asks for."""
        return Create(self.task)


class _OfTask(BaseModel):
    model_config = _STRICT

    id: Reference
    if_match: _IfMatch | None = Field(default=None, description="The version or ETag that the task must still have.")

    @property
    def versions(self) -> list[int] | None:
        return None if self.if_match is None else [self.if_match]


class BatchUpdate(_OfTask):
    """As `PATCH /tasks/{id}`."""

    op: Literal["update"]
    task: TaskUpdate

    def change(self) -> OfOne:
        """What it asks for."""
        return Update(self.id, self.task.changes(), self.versions)


class BatchComplete(_OfTask):
    """As `PATCH /tasks/{id}/complete`; without `task`, toggle."""

    op: Literal["complete"]
    task: TaskCompletion = Field(default_factory=no_completion)

    def change(self) -> OfOne:
        """What it asks for."""
        task = self.task
        completed = task.completed if "completed" in task.model_fields_set else None
        return Complete(self.id, self.versions, completed, task.completed_at, task.subtasks)


class BatchDelete(_OfTask):
    """As `DELETE /tasks/{id}`: to the trash, or for good."""

    op: Literal["delete"]
    permanent: bool = Field(default=False, description="Erase it for good, from the trash too.")

    def change(self) -> OfOne:
        """What it asks for."""
        return (Erase if self.permanent else Trash)(self.id, self.versions)


class BatchRestore(_OfTask):
    """As `POST /tasks/{id}/restore`."""

    op: Literal["restore"]

    def change(self) -> OfOne:
        """What it asks for."""
        return Restore(self.id, self.versions)


Operation = Annotated[
    Annotated[BatchCreate, Tag(f"{UNION_TAG}create")]
    | Annotated[BatchUpdate, Tag(f"{UNION_TAG}update")]
    | Annotated[BatchComplete, Tag(f"{UNION_TAG}complete")]
    | Annotated[BatchDelete, Tag(f"{UNION_TAG}delete")]
    | Annotated[BatchRestore, Tag(f"{UNION_TAG}restore")],
    by_member("op", ("create", "update", "complete", "delete", "restore")),
]


class Batch(BaseModel):
    """Changes, which are made in their order."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {"op": "create", "task": {"title": "Buy milk"}},
                        {"op": "update", "id": EXAMPLE_ID, "task": {"priority": "high"}, "if_match": 42},
                        {"op": "complete", "id": EXAMPLE_ID, "task": {"completed": True}},
                    ],
                    "atomic": False,
                }
            ]
        },
    )

    operations: list[Operation] = Field(min_length=1, max_length=MOST_OPERATIONS)
    atomic: bool = Field(default=True, description="Whether all of it is written, or nothing.")

    def named(self) -> frozenset[UUID]:
        """The ids of the tasks that it changes, and does not make."""
        ids = (operation.id for operation in self.operations if not isinstance(operation, BatchCreate))
        return frozenset(ids)


class BatchResult(BaseModel):
    """What one operation did."""

    status: int = Field(description="The status that the request by itself would have had.")
    task: TaskRead | None = Field(default=None, description="The task as it is after the whole batch.")
    next_id: UUID | None = Field(default=None, description="The task that follows in the series; absent if none does.")
    problem: problem_schema.Problem | None = Field(default=None, description="Why it was not carried out.")


class BatchResults(BaseModel):
    """What each operation did, in their order."""

    results: list[BatchResult]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation did: the task that it is about, or why not.

    Attributes:
        next_id: The task that follows in the series, where this has completed it.
        is_gone: Whether the task is no longer live, so that there is nothing to show.
    """

    status: int
    task_id: UUID
    next_id: UUID | None = None
    problem: Problem | None = None
    is_gone: bool = False


async def apply(
    work: UnitOfWork, batch: Batch, others: Collection[UUID] = ()
) -> tuple[list[Outcome], Mapping[UUID, asyncpg.Record]]:
    """Make the changes of a batch.

    Args:
        others: Ids of somebody else's tasks, where the batch is not atomic.

    Returns:
        What each did, and the tasks as they are then.

    Raises:
        Problem: The batch is atomic, and one of them was refused: the problem has its `index`.
    """
    changes = [operation.change() for operation in batch.operations]
    await work.load(changes)
    outcomes = []
    async for index, change in cooperatively(enumerate(changes)):
        try:
            outcomes.append(_outcome(change, await work.make(change)))
        except Problem as error:
            problem = TaskForbidden() if isinstance(error, TaskNotFound) and error.sought in others else error
            problem.index = index
            point_into(problem, f"/operations/{index}/task")
            if batch.atomic:
                raise problem from None
            outcomes.append(Outcome(problem.status, change.task_id, problem=problem))
    # A later operation may have taken it away again.
    outcomes = [
        one if one.next_id is None or work.is_live(one.next_id) else replace(one, next_id=None) for one in outcomes
    ]
    shown = {outcome.task_id for outcome in outcomes if outcome.problem is None and not outcome.is_gone}
    return outcomes, await work.flush(shown)


def _outcome(change: OfOne, next_id: UUID | None) -> Outcome:
    match change:
        case Create():
            return Outcome(HTTPStatus.CREATED, change.task_id)
        case Trash() | Erase():
            return Outcome(HTTPStatus.NO_CONTENT, change.task_id, is_gone=True)
        case _:
            return Outcome(HTTPStatus.OK, change.task_id, next_id)
