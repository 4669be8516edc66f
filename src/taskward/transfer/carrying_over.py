"""Imports of what other services have exported, which becomes lists and tasks."""

from __future__ import annotations

from taskward.errors import Invalid
from taskward.kit.limits import Limits
from taskward.lists.store import ListStore
from taskward.runtime.fairness import cooperatively
from taskward.storage.session import Session
from taskward.tasks.changes import CreateMany
from taskward.tasks.unit_of_work import UnitOfWork
from taskward.transfer.foreign import Foreign
from taskward.transfer.importing import Imported
from taskward.transfer.store import ImportedFiles


async def import_foreign(session: Session, limits: Limits, found: Foreign) -> Imported:
    """Make what another service has exported, as far as it goes. What is lost here is added to `found.reading`.

    Raises:
        AlreadyImported: It was imported before in the same way, and some of it is there.
        LimitReached: See `errors`.
    """
    work = await UnitOfWork.begin(session, limits)
    files = ImportedFiles(session)
    await files.check(found.digest)
    lists = found.lists.values()
    rows = [{"id": one.id, "name": one.name, "color": one.color, "position": None} for one in lists]
    await ListStore(session, limits).insert_exported(work.lock, rows)
    made = [one.id for one in lists]
    await work.load([CreateMany(tuple(made), found.has_tags)])
    async for task, completed_at in cooperatively(found.tasks()):
        # By the database's clock nothing may have been completed later than now.
        completed = None if completed_at is None else min(completed_at, work.lock.now)
        try:
            work.create(task, completed_at=completed)
        except Invalid as problem:
            if [error.pointer for error in problem.errors] != ["/recurrence"]:
                raise
            plain = task.model_copy(update={"recurrence": None, "recurs_from": "due"})
            work.create(plain, completed_at=completed)
            found.lose(task, "recurrence", problem.errors[0].detail)
        made.append(task.id)
        await work.relieve()
    await files.remember(found.digest, made)
    await work.flush(())
    return Imported({"lists": len(lists), "tasks": len(made) - len(lists)})
