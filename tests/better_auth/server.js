// An app that signs its users in with Better Auth, on loopback and in memory, as `tests/better_auth` starts it.
//
// Options are one JSON object, the first argument. It says where it listens in one line of JSON, then answers each
// line that it is told with one. It ends with its standard input, and so with whoever started it.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { deserialize, serialize } from "node:v8";

import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";

const { port = 0, secret, baseURL, algorithm, issuer, audience, cookies, keep } = JSON.parse(process.argv[2]);

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// Better Auth's tables, which outlive the process in the file `keep`.
const tables = { user: [], session: [], account: [], verification: [], jwks: [] };
if (keep && existsSync(keep)) Object.assign(tables, deserialize(readFileSync(keep)));

// Until the port is known there is nobody to hand a request to, and no address that tokens could be issued by.
let handle;
const server = createServer((request, response) => handle(request, response));
server.listen(port, "127.0.0.1", () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const auth = betterAuth({
    baseURL: baseURL ?? origin,
    secret,
    database: memoryAdapter(tables),
    emailAndPassword: { enabled: true },
    // The cookie that saves a look into the database is a JWT as well: with "secret" signed with the shared secret,
    // with "keys" signed with the very keys that sign what /token hands out.
    session: cookies ? { cookieCache: { enabled: true, strategy: "jwt" } } : {},
    plugins: [
      jwt({
        // Absent options stay absent, so that Better Auth's own defaults are what is tested.
        jwks: algorithm ? { keyPairConfig: { alg: algorithm } } : {},
        jwt: { ...(issuer && { issuer }), ...(audience && { audience }) },
        sessionCookieCache: cookies === "keys",
      }),
      bearer(),
    ],
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { level: "error" },
  });
  handle = toNodeHandler(auth);
  say({ origin });
});

const day = 24 * 60 * 60 * 1000;
const commands = {
  // As if `rotationInterval` had passed: the next token is signed with a new key, the old one is still published.
  rotate: () => tables.jwks.forEach((key) => (key.expiresAt ??= new Date())),
  // As if the grace period of 30 days had passed too: what has expired is published no more.
  retire: () => tables.jwks.forEach((key) => key.expiresAt && (key.expiresAt = new Date(Date.now() - 31 * day))),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  commands[line]();
  say({ keys: tables.jwks.length });
});
lines.on("close", () => {
  if (keep) writeFileSync(keep, serialize(tables));
  process.exit(0);
});
