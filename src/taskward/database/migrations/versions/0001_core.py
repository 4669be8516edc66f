"""Accounts and tasks, their row-level security, and the function that tells 403 from 404.

Every key begins with `user_id`, so the tables can be distributed by user and no constraint crosses users.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE taskward.account (
    user_id text COLLATE "C" PRIMARY KEY,
    clock bigint NOT NULL,
    -- Random, so that nothing from before an erasure, or of another account, is ever taken for current.
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE taskward.task (
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    title text NOT NULL,
    description text,
    completed boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (user_id, id),
    CONSTRAINT task_title_length CHECK (char_length(title) BETWEEN 1 AND 255),
    CONSTRAINT task_description_length CHECK (char_length(description) <= 10000),
    CONSTRAINT task_completed_at CHECK (completed = (completed_at IS NOT NULL))
);
CREATE UNIQUE INDEX task_version ON taskward.task (user_id, version);
CREATE INDEX task_open ON taskward.task (user_id, id) WHERE NOT completed AND deleted_at IS NULL;
-- For the 403 probe, which knows an id and no user.
CREATE INDEX task_id ON taskward.task (id);

-- What was erased for good: only that it was, and when by the owner's clock.
CREATE TABLE taskward.tombstone (
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);
CREATE UNIQUE INDEX tombstone_version ON taskward.tombstone (user_id, version);
"""

# FORCE binds the tables' owner too. No owner set means no rows. No sub-select: a distributed table refuses those.
_POLICY = """
ALTER TABLE taskward.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE taskward.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON taskward.{table}
    USING (user_id = nullif(current_setting('taskward.user_id', true), ''))
    WITH CHECK (user_id = nullif(current_setting('taskward.user_id', true), ''));
"""

# Runs as the probe role, which may read ids and nothing else.
_PROBE = """
CREATE FUNCTION taskward.task_exists(id uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS 'SELECT EXISTS (SELECT FROM taskward.task t WHERE t.id = $1)';
"""


def upgrade() -> None:
    statements = _TABLES + "".join(_POLICY.format(table=table) for table in ("account", "task", "tombstone")) + _PROBE
    for statement in statements.split(";\n"):
        if statement.strip():
            op.execute(statement)
