import { readFileSync } from "node:fs";
import type postgres from "postgres";
import { expect, inject } from "vitest";
import { call } from "./runbook-client.ts";
import { newGate } from "./stopping-worker.ts";

const patient = { timeout: 60_000, interval: 200 };

/** Holds what `lock` locks, until the answer is called. */
export async function hold(
  sql: postgres.Sql,
  lock: (holder: postgres.TransactionSql) => PromiseLike<unknown>,
): Promise<() => Promise<void>> {
  const held = newGate();
  const release = newGate();
  const over = sql.begin(async (holder) => {
    await lock(holder);
    held.open();
    await release.opened;
  });
  // Of a test that failed meanwhile; the race and whoever releases hear of it themselves.
  over.catch(() => {});
  await Promise.race([held.opened, over]);
  return async () => {
    release.open();
    await over;
  };
}

/** Waits until a session of this name waits for a lock; answers its process. */
export async function waitingFor(sql: postgres.Sql, applicationName: string): Promise<number> {
  let pid: unknown;
  await expect
    .poll(async () => {
      const rows = await sql`
        select pid from pg_stat_activity
        where application_name = ${applicationName} and wait_event_type = 'Lock'`;
      pid = rows[0]?.["pid"];
      return rows.length;
    }, patient)
    .toBe(1);
  return Number(pid);
}

/** Ends a session of the database, and waits until it is gone. */
export async function terminate(sql: postgres.Sql, pid: number): Promise<void> {
  expect(await sql`select pg_terminate_backend(${pid}) as done`).toEqual([{ done: true }]);
  await expect
    .poll(() => sql`select from pg_stat_activity where pid = ${pid}`.then((rows) => rows.length), patient)
    .toBe(0);
}

/** Ends the worker of a function of the stack, whatever it is doing. */
export async function endWorker(name: string): Promise<void> {
  const ports = readFileSync(inject("functionsLog"), "utf8").matchAll(/^\{"port":(\d+)\}$/gm);
  const port = [...ports].at(-1)?.[1];
  const { status } = await fetch(`http://127.0.0.1:${port}/${name}`, { method: "DELETE" });
  expect(status).toBe(204);
  // The gateway learns of it by the next request, and then starts another.
  await expect.poll(async () => (await call(name, { method: "GET" })).status, patient).toBe(405);
}
