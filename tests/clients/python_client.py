"""Uses a client that openapi-python-client has made. It runs with that client's own libraries."""

from __future__ import annotations

import json
import sys
from uuid import UUID

from taskward_client import AuthenticatedClient
from taskward_client.api.tasks import (
    change_tasks,
    complete_task,
    create_task,
    get_task,
    list_tasks,
    update_task,
)
from taskward_client.models import (
    Batch,
    BatchCreate,
    BatchDelete,
    Problem,
    TaskCompletion,
    TaskCreate,
    TaskUpdate,
    TaskUpdatePriority,
)

NOBODYS = UUID("00000000-0000-7000-8000-000000000000")
_, base_url, token = sys.argv
client = AuthenticatedClient(base_url=base_url, token=token, verify_ssl=False)

made = create_task.sync(client=client, body=TaskCreate(title="x"))
listed = list_tasks.sync(client=client, completed=False, limit=10)
changed = TaskUpdate(priority=TaskUpdatePriority.HIGH, description=None)
patched = update_task.sync(made.id, client=client, body=changed)
completed = complete_task.sync(made.id, client=client, body=TaskCompletion(completed=True))
operations = [BatchCreate(op="create", task=TaskCreate(title="y")), BatchDelete(op="delete", id=NOBODYS)]
batch = change_tasks.sync(client=client, body=Batch(atomic=False, operations=operations))
missing = get_task.sync(NOBODYS, client=client)
assert isinstance(missing, Problem)

said = {
    "made": made.title,
    "listed": [task.title for task in listed],
    "patched": patched.priority,
    "completed": completed.completed,
    "batch": [result.problem.title if result.problem else result.task.title for result in batch.results],
    "missing": missing.status,
}
sys.stdout.write(json.dumps(said))
