"""Alembic's entry: runs the versions on the connection, or into the SQL script, that `database.migrate` hands over."""

from alembic import context

from taskward.storage.migrate import VERSION_TABLE_OPTIONS

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True, **VERSION_TABLE_OPTIONS)
else:
    context.configure(connection=connection, **VERSION_TABLE_OPTIONS)
context.run_migrations()
