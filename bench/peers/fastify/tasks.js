// The task routes.

import etag from "@fastify/etag";

import { run } from "./database.js";
import * as schemas from "./schemas.js";

const columns = "id, user_id, title, description, completed, created_at, updated_at";

// By its name, each connection prepares a statement once.
const prepared = (name, text) => (values) => ({ name, text, values });

const page = `SELECT ${columns} FROM fastify.task WHERE user_id = $1`;
const newest = "ORDER BY created_at DESC LIMIT $2 OFFSET $3";
const statements = {
  list: prepared("list", `${page} ${newest}`),
  listCompleted: prepared("list_completed", `${page} AND completed = $4 ${newest}`),
  get: prepared("get", `SELECT ${columns} FROM fastify.task WHERE id = $1`),
  create: prepared(
    "create",
    `INSERT INTO fastify.task (user_id, title, description) VALUES ($1, $2, $3) RETURNING ${columns}`,
  ),
  update: prepared(
    "update",
    `UPDATE fastify.task
        SET title = coalesce($3, title),
            description = CASE WHEN $4 THEN $5 ELSE description END,
            updated_at = now()
      WHERE id = $1 AND user_id = $2 RETURNING ${columns}`,
  ),
  toggle: prepared(
    "toggle",
    `UPDATE fastify.task SET completed = NOT completed, updated_at = now()
      WHERE id = $1 AND user_id = $2 RETURNING ${columns}`,
  ),
};

const refusal = (statusCode, message) => Object.assign(new Error(message), { statusCode });

function own(task, userId) {
  if (!task) throw refusal(404, "Task not found");
  if (task.user_id !== userId) throw refusal(403, "Not your task");
  return task;
}

// A change is one statement; only when it met no row of the user's, a second one tells 403 from 404.
const changed = (userId, id, statement) =>
  run(userId, async (db) => {
    const { rows } = await db.query(statement);
    return rows[0] ?? own((await db.query(statements.get([id]))).rows[0], userId);
  });

async function authenticate(request) {
  // The plugin knows a status for most errors of a token only.
  await request.jwtVerify().catch((error) => {
    throw refusal(401, error.message);
  });
  if (typeof request.user.sub !== "string") throw refusal(401, "The token names no user");
}

export default async function tasks(app) {
  app.addHook("onRequest", authenticate);

  // Only what is read has an ETag; a change must not be answered with 304.
  app.register(async (reads) => {
    reads.register(etag);

    reads.get("/", { schema: schemas.list }, async ({ query: { limit, offset, completed }, user }) => {
      const values = [user.sub, limit, offset];
      const statement =
        completed === undefined ? statements.list(values) : statements.listCompleted([...values, completed]);
      const { rows } = await run(user.sub, (db) => db.query(statement));
      return rows;
    });

    reads.get("/:id", { schema: schemas.get }, async ({ params, user }) => {
      const { rows } = await run(user.sub, (db) => db.query(statements.get([params.id])));
      return own(rows[0], user.sub);
    });
  });

  app.post("/", { schema: schemas.create }, async ({ body, user }, reply) => {
    const statement = statements.create([user.sub, body.title, body.description]);
    const { rows } = await run(user.sub, (db) => db.query(statement));
    reply.code(201);
    return rows[0];
  });

  app.patch("/:id", { schema: schemas.update }, async ({ params, body, user }) => {
    const values = [params.id, user.sub, body.title, "description" in body, body.description];
    return changed(user.sub, params.id, statements.update(values));
  });

  app.patch("/:id/complete", { schema: schemas.toggle }, async ({ params, user }) =>
    changed(user.sub, params.id, statements.toggle([params.id, user.sub])),
  );
}
