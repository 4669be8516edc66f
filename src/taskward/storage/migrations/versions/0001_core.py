"""Accounts, lists, tasks, stored answers, their row-level security, and the functions that tell 403 from 404.

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
    -- When the owner's last change was, in UTC. A new account's is after all that this user saw of an earlier one.
    changed_at timestamp NOT NULL DEFAULT timezone('UTC', clock_timestamp()),
    -- In UTC: no task of those in the trash went there before. NULL: there is none in it.
    trashed_at timestamp,
    -- Random, so that nothing from before an erasure, or of another account, is ever taken for current.
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    -- How many rows there are, those in the trash included, so that a limit is held without counting.
    tasks bigint NOT NULL DEFAULT 0,
    lists bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE taskward.list (
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    color text,
    -- NULL: where it was made, which is what its id says.
    position text COLLATE "C",
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id),
    CONSTRAINT list_name_length CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT list_color CHECK (color ~ '^#[0-9a-f]{6}$'),
    CONSTRAINT list_position CHECK (position ~ '^[-0-9a-z]{1,48}$')
);
-- For the 403 probe, which knows an id and no user. Nothing else says id::text, so nothing else is planned by it: by an
-- index of ids, a listing would go through the tasks of all users.
CREATE INDEX list_id ON taskward.list USING hash ((id::text));

CREATE TABLE taskward.task (
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    title text NOT NULL,
    description text,
    completed boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    priority text NOT NULL DEFAULT 'none',
    due_date date,
    due_at timestamptz,
    time_zone text,
    recurrence text,
    recurs_from text NOT NULL DEFAULT 'due',
    -- The local time that due_at means, where a change of the clock keeps it from showing it.
    meant_at text,
    -- What the occurrences of one series have in common; never NULL where there is a rule.
    series_id uuid,
    -- The occurrence that was made when this one was completed, the last version of those that were made with it, and
    -- how many copies of parts there are among them.
    next_id uuid,
    next_version bigint,
    next_parts bigint,
    list_id uuid,
    parent_id uuid,
    -- What this was a part of before a next occurrence took it over.
    moved_from uuid,
    position text COLLATE "C",
    tags text[] COLLATE "C" NOT NULL DEFAULT '{}',
    metadata json NOT NULL DEFAULT '{}',
    -- For searching and sorting, as `tasks/search.py` folds them.
    folded_title text COLLATE "C" NOT NULL,
    folded_description text COLLATE "C",
    version bigint NOT NULL,
    -- By this it is found what has changed. A change that leaves it as it is touches no index.
    version_block bigint NOT NULL GENERATED ALWAYS AS (version / 1024) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    -- The task with which this one went to the trash, which may be itself.
    deleted_with uuid,
    PRIMARY KEY (user_id, id),
    CONSTRAINT task_list FOREIGN KEY (user_id, list_id) REFERENCES taskward.list (user_id, id),
    CONSTRAINT task_parent FOREIGN KEY (user_id, parent_id) REFERENCES taskward.task (user_id, id),
    CONSTRAINT task_title_length CHECK (char_length(title) BETWEEN 1 AND 255),
    CONSTRAINT task_description_length CHECK (char_length(description) <= 10000),
    CONSTRAINT task_completed_at CHECK (completed = (completed_at IS NOT NULL))
-- With room in each page, or the first change of a row that is in a full one moves it, in every index.
) WITH (fillfactor = 85);
-- Only for what asks for blocks: of a user without statistics PostgreSQL would read all listings by it, and sort, and
-- would look for each row that is erased through all of the user's.
CREATE INDEX task_version_block ON taskward.task (user_id, version_block) WITH (deduplicate_items = off)
    WHERE version_block >= 0;
CREATE INDEX task_open ON taskward.task (user_id, id) WHERE NOT completed AND deleted_at IS NULL;
CREATE INDEX task_children ON taskward.task (user_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_of_list ON taskward.task (user_id, list_id) WHERE list_id IS NOT NULL;
CREATE INDEX task_id ON taskward.task USING hash ((id::text));

-- What was erased for good: only that it was, and when by the owner's clock.
CREATE TABLE taskward.tombstone (
    user_id text COLLATE "C" NOT NULL,
    -- The table that it was in.
    kind text NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, kind, id)
);
CREATE UNIQUE INDEX tombstone_version ON taskward.tombstone (user_id, version);

-- Answers to requests with an Idempotency-Key, to be given again.
CREATE TABLE taskward.stored_answer (
    user_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request bytea NOT NULL,
    status smallint,
    headers json,
    body text,
    shown uuid[],
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key),
    CONSTRAINT stored_answer_key_length CHECK (char_length(key) BETWEEN 1 AND 255)
);

-- Files of other services that were imported, so that none is imported twice while what it brought is there.
CREATE TABLE taskward.imported_file (
    user_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    ids uuid[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, digest)
);
"""

# FORCE binds the tables' owner too. No owner set means no rows. No sub-select: a distributed table refuses those.
_POLICY = """
ALTER TABLE taskward.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE taskward.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON taskward.{table}
    USING (user_id = nullif(current_setting('taskward.user_id', true), ''))
    WITH CHECK (user_id = nullif(current_setting('taskward.user_id', true), ''));
"""

# They run as the probe role, which may read ids and nothing else.
_PROBE = """
CREATE FUNCTION taskward.{table}_ids_in_use(ids uuid[]) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS 'SELECT array_agg(DISTINCT t.id) FROM taskward.{table} t WHERE t.id::text = ANY ($1::text[])';
"""


def upgrade() -> None:
    owned = ("account", "list", "task", "tombstone", "stored_answer", "imported_file")
    policies = "".join(_POLICY.format(table=table) for table in owned)
    probes = "".join(_PROBE.format(table=table) for table in ("task", "list"))
    for statement in (_TABLES + policies + probes).split(";\n"):
        if statement.strip():
            op.execute(statement)
