// The task service on Fastify and node-postgres, as their documentation recommends for production: schemas for what
// goes in and out, prepared statements on a pool, verified tokens remembered, no logger.

import jwt from "@fastify/jwt";
import Fastify from "fastify";

import { pool } from "./database.js";
import tasks from "./tasks.js";

const app = Fastify();

app.register(jwt, {
  secret: process.env.JWT_SECRET,
  verify: { algorithms: ["HS256"], requiredClaims: ["sub", "exp"], cache: true },
});
app.register(tasks, { prefix: "/api/v1/tasks" });
app.get("/health", async () => ({ status: "ok" }));
app.addHook("onClose", () => pool.end());

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => app.close());

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
