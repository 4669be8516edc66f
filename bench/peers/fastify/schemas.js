// What goes in and out, as JSON schemas: Fastify compiles its validators and serializers from them.

const title = { type: "string", minLength: 1, maxLength: 255 };
const description = { type: "string", nullable: true, maxLength: 10_000 };

const task = {
  type: "object",
  required: ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"],
  properties: {
    id: { type: "string" },
    user_id: { type: "string" },
    title: { type: "string" },
    description: { type: "string", nullable: true },
    completed: { type: "boolean" },
    created_at: { type: "string", format: "date-time" },
    updated_at: { type: "string", format: "date-time" },
  },
};

const params = {
  type: "object",
  required: ["id"],
  properties: { id: { type: "string", format: "uuid" } },
};

export const list = {
  querystring: {
    type: "object",
    properties: {
      limit: { type: "integer", minimum: 1, maximum: 200, default: 50 },
      offset: { type: "integer", minimum: 0, default: 0 },
      completed: { type: "boolean" },
    },
  },
  response: { 200: { type: "array", items: task } },
};

export const create = {
  body: {
    type: "object",
    additionalProperties: false,
    required: ["title"],
    properties: { title, description },
  },
  response: { 201: task },
};

export const get = { params, response: { 200: task } };

export const update = {
  params,
  body: { type: "object", additionalProperties: false, properties: { title, description } },
  response: { 200: task },
};

export const toggle = { params, response: { 200: task } };
