import postgres from "postgres";
import { expect, inject, onTestFinished } from "vitest";
import { z } from "zod";

/** A session of the database beside the test's own. */
export interface SecondSession {
  sql: postgres.Sql;
  pid: number;
  backendStart: string;
}

/** Opens one for the running test; it ends with it. */
export async function openSession(name: string): Promise<SecondSession> {
  const sql = postgres(inject("databaseUrl"), {
    max: 1,
    onnotice: () => {},
    connection: { application_name: name },
  });
  onTestFinished(() => sql.end({ timeout: 0 }));
  const [row] = await sql`
    select act.pid, act.backend_start::text from pg_stat_activity as act where act.pid = pg_backend_pid()`;
  const { pid, backend_start } = z.object({ pid: z.number(), backend_start: z.string() }).parse(row);
  return { sql, pid, backendStart: backend_start };
}

/** Begins a statement whose end nobody waits for; answers how it ends: its SQLSTATE, or `done`. */
export function begin(statement: PromiseLike<unknown>): Promise<string> {
  return Promise.resolve(statement).then(
    () => "done",
    (error: unknown) => (error instanceof postgres.PostgresError ? error.code : "lost"),
  );
}

/** Waits until a session is in a state. */
export async function inState(sql: postgres.Sql, pid: number, state: string): Promise<void> {
  const read = async (): Promise<unknown> =>
    (await sql`select state from pg_stat_activity where pid = ${pid}`)[0]?.["state"];
  await expect.poll(read, { interval: 20 }).toBe(state);
}

/** Whether a session is there. */
export async function isAlive(sql: postgres.Sql, pid: number): Promise<boolean> {
  return (await sql`select from pg_stat_activity where pid = ${pid}`).length === 1;
}
