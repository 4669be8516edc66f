"""Tasks: their table, their schemas, their SQL and their routes."""
