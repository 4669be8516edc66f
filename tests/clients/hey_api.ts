// Uses a client that @hey-api/openapi-ts has made.
import { client } from "./hey/client.gen.js";
import { changeTasks, completeTask, createTask, getTask, listTasks, updateTask } from "./hey/sdk.gen.js";
import type { TaskCreate } from "./hey/types.gen.js";

declare const process: { argv: string[] };
const [, , baseUrl, token] = process.argv as [string, string, string, string];
client.setConfig({ baseUrl, auth: token });

const minimal: TaskCreate = { title: "x" };
const { data: made } = await createTask({ body: minimal, throwOnError: true });
const path = { task_id: made.id };
const { data: listed } = await listTasks({ query: { completed: false, limit: 10 }, throwOnError: true });
const { data: patched } = await updateTask({ path, body: { priority: "high", description: null }, throwOnError: true });
const { data: completed } = await completeTask({ path, body: { completed: true }, throwOnError: true });
const { data: batch } = await changeTasks({
  body: {
    atomic: false,
    operations: [
      { op: "create", task: { title: "y" } },
      { op: "delete", id: "00000000-0000-7000-8000-000000000000" },
    ],
  },
  throwOnError: true,
});
const missing = await getTask({ path: { task_id: "00000000-0000-7000-8000-000000000000" } });

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
