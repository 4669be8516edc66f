// Creates the table, and with ISOLATION=transaction the role that requests switch to: `node schema.js`.

import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();

await client.query(`
  CREATE SCHEMA IF NOT EXISTS fastify;
  CREATE TABLE IF NOT EXISTS fastify.task (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id text NOT NULL,
    title varchar(255) NOT NULL,
    description varchar(10000),
    completed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX IF NOT EXISTS task_user_id_created_at ON fastify.task (user_id, created_at);
`);

if (process.env.ISOLATION === "transaction") {
  const { rows } = await client.query("SELECT current_database() || '_app' AS name");
  const role = client.escapeIdentifier(rows[0].name);
  const made = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [rows[0].name]);
  if (!made.rowCount) await client.query(`CREATE ROLE ${role} NOLOGIN; GRANT ${role} TO CURRENT_USER`);
  await client.query(`
    GRANT USAGE ON SCHEMA fastify TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON fastify.task TO ${role};
  `);
}

await client.end();
