"""The table, as `makemigrations` derives it from the model."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates the table and its index."""

    initial = True

    operations = (
        migrations.CreateModel(
            name="Task",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("user_id", models.CharField(max_length=255)),
                ("title", models.CharField(max_length=255)),
                ("description", models.TextField(null=True)),
                ("completed", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "indexes": [models.Index(fields=["user_id", "created_at"], name="task_user_id_created_at")],
            },
        ),
    )
