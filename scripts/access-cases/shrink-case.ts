import type postgres from "postgres";
import type { Explainer } from "./ask-explainer.ts";
import type { Disagreement } from "./print-case.ts";
import { isPostgresError } from "./real-answer.ts";
import { inSession, inWorld, judge } from "./run-cases.ts";
import type { Case } from "./world.ts";

/**
 * Makes a failing case smaller while it keeps failing with one of the same complaints: leaves out statements, rows and
 * parts of conditions, one after the other. Gives up after `attempts` tries with what it has.
 */
export async function shrinkCase(
  connect: () => postgres.Sql,
  explainer: Explainer,
  disagreement: Disagreement,
  attempts: number,
): Promise<Disagreement> {
  return inSession(connect, async (session) => {
    let smallest = disagreement;
    let left = attempts;
    for (let found = true; found; ) {
      found = false;
      for (const statements of smallerWorlds(smallest.case.world.statements)) {
        if (left <= 0) return smallest;
        left -= 1;
        const { world, question } = smallest.case;
        const next = await stillFails(
          session,
          explainer,
          { world: { ...world, statements }, question },
          disagreement,
        );
        if (next === null) continue;
        smallest = next;
        found = true;
        break;
      }
    }
    return smallest;
  });
}

async function stillFails(
  connection: postgres.Sql,
  explainer: Explainer,
  smaller: Case,
  { complaints }: Disagreement,
): Promise<Disagreement | null> {
  try {
    return await inWorld(connection, smaller.world, async (tx) => {
      const judged = await judge(tx, smaller, explainer, false);
      if (judged?.comparison.result !== "disagrees") return null;
      const { comparison, real, said } = judged;
      const isSame = comparison.complaints.some((complaint) => complaints.includes(complaint));
      return isSame ? { case: smaller, complaints: comparison.complaints, real, said } : null;
    });
  } catch (error) {
    // What was left out was needed.
    if (isPostgresError(error)) return null;
    throw error;
  }
}

/** Every world that is a little smaller, the boldest cuts first. */
function* smallerWorlds(statements: readonly string[]): Generator<string[]> {
  for (let size = 8; size >= 1; size = Math.floor(size / 2)) {
    for (let from = statements.length - size; from >= 0; from -= size)
      yield [...statements.slice(0, from), ...statements.slice(from + size)];
  }
  for (const [index, statement] of statements.entries()) {
    for (const shorter of shorterStatements(statement))
      yield [...statements.slice(0, index), shorter, ...statements.slice(index + 1)];
  }
}

function* shorterStatements(statement: string): Generator<string> {
  const lines = statement.split("\n");
  // Rows of an insert, columns of a table.
  for (let index = 1; index < lines.length && lines.length > 3; index += 1) {
    const kept = lines.filter((_, position) => position !== index).join("\n");
    yield kept.replace(/,(\n\)|$)/, "$1");
  }
  if (!statement.startsWith("create policy")) return;
  // A condition in parentheses takes the place of the one around it.
  const pairs = parentheses(statement);
  for (const [start, end] of pairs) {
    for (const [innerStart, innerEnd] of pairs) {
      if (innerStart > start && innerEnd < end)
        yield statement.slice(0, start + 1) +
          statement.slice(innerStart + 1, innerEnd) +
          statement.slice(end);
    }
  }
}

function parentheses(text: string): [start: number, end: number][] {
  const open: number[] = [];
  const pairs: [number, number][] = [];
  for (const [position, char] of text.split("").entries()) {
    if (char === "(") open.push(position);
    const start = char === ")" ? open.pop() : undefined;
    if (start !== undefined) pairs.push([start, position]);
  }
  return pairs;
}
