"""The task's table."""

import uuid

from django.db import models


class Task(models.Model):
    """A row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField(max_length=255)
    title = models.CharField(max_length=255)
    description = models.TextField(null=True)  # noqa: DJ001 - the API tells null from an empty text
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (models.Index(fields=["user_id", "created_at"], name="task_user_id_created_at"),)

    def __str__(self) -> str:
        return str(self.title)
