// The pool, and what a request's statements run in: nothing but the pool, or with ISOLATION=transaction a transaction
// that has switched to a role without rights of its own and knows the user, as row-level security needs it.

import pg from "pg";

export const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: Number(process.env.POOL_SIZE ?? 10),
  idleTimeoutMillis: 0, // connections stay
});
// Without a listener, an idle connection that the server closes would end the process.
pool.on("error", (error) => console.error(error.message));

const onPool = (userId, work) => work(pool);

async function isolatedBy(pool) {
  const { rows } = await pool.query("SELECT quote_ident(current_database() || '_app') AS role");
  const opening = `BEGIN; SET LOCAL ROLE ${rows[0].role}; SELECT set_config('app.user_id', `;

  return async (userId, work) => {
    const client = await pool.connect();
    let lost;
    try {
      await client.query(`${opening}${client.escapeLiteral(userId)}, true)`);
      const result = await work(client);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((reason) => (lost = reason));
      throw error;
    } finally {
      client.release(lost);
    }
  };
}

// `run(userId, work)`: what `work`, given something with `query`, resolves to.
export const run = process.env.ISOLATION === "transaction" ? await isolatedBy(pool) : onPool;
