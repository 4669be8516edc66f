// Uses types that openapi-typescript has made.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [, , baseUrl, token] = process.argv as [string, string, string, string];
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function got<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail);
  return answer.data;
}

const made = got(await api.POST("/api/v1/tasks", { body: { title: "x" } }));
const path = { task_id: made.id };
const listed = got(await api.GET("/api/v1/tasks", { params: { query: { completed: false, limit: 10 } } }));
const patched = got(
  await api.PATCH("/api/v1/tasks/{task_id}", { params: { path }, body: { priority: "high", description: null } }),
);
const completed = got(
  await api.PATCH("/api/v1/tasks/{task_id}/complete", { params: { path }, body: { completed: true } }),
);
const batch = got(
  await api.POST("/api/v1/tasks/batch", {
    body: {
      atomic: false,
      operations: [
        { op: "create", task: { title: "y" } },
        { op: "delete", id: "00000000-0000-7000-8000-000000000000" },
      ],
    },
  }),
);
const missing = await api.GET("/api/v1/tasks/{task_id}", {
  params: { path: { task_id: "00000000-0000-7000-8000-000000000000" } },
});

console.log(
  JSON.stringify({
    made: made.title,
    listed: listed.map((task) => task.title),
    patched: patched.priority,
    completed: completed.completed,
    batch: batch.results.map((result) => result.problem?.title ?? result.task?.title),
    missing: missing.error?.status,
  }),
);
