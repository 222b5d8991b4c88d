import { readFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";

/** The demo's troubles once more: run in a test's transaction, they undo what other tests mended. */
export const troubles = demoFile("70_troubles.sql");

/** The text of a file of the demo. */
export function demoFile(name: string): string {
  return readFileSync(join(import.meta.dirname, name), "utf8");
}

/** The id of a class, by its number in the README. */
export function classId(number: number): string {
  return `30000000-0000-4000-8000-00000000000${number}`;
}

/** Runs the test in a transaction that is rolled back whether it passes or not. */
export async function rolledBack(
  client: postgres.Sql,
  test: (tx: postgres.Sql) => Promise<void>,
): Promise<void> {
  const connection = await client.reserve();
  try {
    await connection`begin`;
    await test(connection);
  } finally {
    await connection`rollback`;
    connection.release();
  }
}

/** The SQLSTATE that a statement fails with, null when it succeeds; the transaction goes on either way. */
export async function codeOf(
  tx: postgres.Sql,
  run: (tx: postgres.Sql) => Promise<unknown>,
): Promise<string | null> {
  await tx`savepoint attempt`;
  try {
    await run(tx);
    return null;
  } catch (error) {
    if (error instanceof postgres.PostgresError) return error.code;
    throw error;
  } finally {
    await tx`rollback to savepoint attempt`;
  }
}

/** Becomes a signed-in person for the rest of the transaction, as the Data API does it. Returns the person's id. */
export async function signInAs(tx: postgres.Sql, email: string): Promise<string> {
  await tx`reset role`;
  const id = await userId(tx, email);
  const claims = JSON.stringify({ sub: id, role: "authenticated", email });
  await tx`select set_config('request.jwt.claims', ${claims}, true)`;
  await tx`set local role authenticated`;
  return id;
}

/** The id of the person who has this e-mail in Auth. */
export async function userId(tx: postgres.Sql, email: string): Promise<string> {
  const [user] = await tx<{ id: string }[]>`select id from auth.users where email = ${email}`;
  if (user === undefined) throw new Error(`${email} is not in the demo`);
  return user.id;
}
