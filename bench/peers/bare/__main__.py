"""Creates the table: `python -m bench.peers.bare`."""

import asyncio
import os

import asyncpg

TABLE = """
CREATE TABLE task (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    title text NOT NULL,
    description text,
    completed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX task_user_id_created_at ON task (user_id, created_at);
"""


async def main() -> None:
    """Create the table and leave."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("CREATE SCHEMA bare")
    await connection.execute("SET search_path = bare;" + TABLE)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
