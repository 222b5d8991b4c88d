import type postgres from "postgres";
import { z } from "zod";
import { becomeStatements, commandStatement, matchCondition } from "./commands.ts";
import { quoteName, quoteText } from "./quote.ts";
import { relationName } from "./tables.ts";
import type { Case } from "./world.ts";

/** What the database did with one row: gave or changed it, left it out or refused it, or raised for another reason. */
export type RowAnswer = "yes" | "no" | { readonly raised: string };

/** What the database really answers. */
export interface RealAnswer {
  /** Keys as text of the rows that the question is about; of an insert, none. */
  readonly keys: readonly string[];
  /** By key, null where the key may not be read; the row of an insert has the key "". */
  readonly rows: ReadonlyMap<string, RowAnswer> | null;
  /** The command over all rows. */
  readonly whole: RowAnswer;
  /** Rows that the command over all rows gave or changed; 0 when it raised. */
  readonly count: number;
  /** The error of the command over all rows, with its SQLSTATE. */
  readonly error: string | null;
  /** The columns that the role may read. */
  readonly readable: readonly string[];
}

/** The question cannot be compared: a constraint or the kind of relation refused the command, whoever asks. */
export class NotAboutAccess extends Error {
  override readonly name = "NotAboutAccess";
}

const keyRows = z.array(z.object({ key: z.string().nullable() }));
const factRows = z.tuple([z.object({ keys: z.array(z.string()), readable: z.array(z.string()).nullable() })]);

/**
 * Tries the command in the open transaction, as the Data API would, and takes it back.
 * Throws NotAboutAccess, or what went wrong besides.
 */
export async function readRealAnswer(
  tx: postgres.Sql,
  { world: { subject }, question }: Case,
): Promise<RealAnswer> {
  const isInsert = question.command === "insert";
  const { keys, readable } = await readFacts(tx, { world: { subject }, question });
  if (readable === null)
    return { keys, rows: null, whole: "no", count: 0, error: "the role cannot be taken", readable: [] };
  // A select of no column at all would need no right; asking for the key tells that it is refused.
  const columns = readable.length === 0 ? [subject.key.name] : readable;
  const whole = await attempt(tx, subject, [
    ...becomeStatements(question),
    commandStatement(subject, question, columns),
  ]);
  const common = { keys, count: whole.count, error: whole.error, whole: whole.answer, readable };
  if (isInsert) {
    // A trigger may have thrown the row away without a word.
    const answer = whole.answer === "yes" && whole.count === 0 ? "no" : whole.answer;
    return { ...common, whole: answer, rows: new Map([["", answer]]) };
  }
  // A view has no key that an explanation could name.
  if (subject.kind === "view") return { ...common, rows: null };
  if (!columns.includes(subject.key.name)) return { ...common, rows: null };
  if (whole.keys !== null) {
    const given = new Set(whole.keys);
    return { ...common, rows: new Map(keys.map((key) => [key, given.has(key) ? "yes" : "no"])) };
  }
  const rows = new Map<string, RowAnswer>();
  for (const key of keys) {
    const one = await attempt(tx, subject, [
      ...becomeStatements(question),
      commandStatement(subject, question, columns, key),
    ]);
    rows.set(key, one.answer === "yes" && one.count === 0 ? "no" : one.answer);
  }
  return { ...common, rows };
}

interface Attempt {
  answer: RowAnswer;
  count: number;
  /** Null when it raised. */
  keys: string[] | null;
  error: string | null;
}

async function attempt(
  tx: postgres.Sql,
  subject: { schema: string; name: string },
  statements: readonly string[],
): Promise<Attempt> {
  try {
    const results: unknown = await tx.unsafe(["savepoint attempt", ...statements].join(";\n"));
    const last: unknown = Array.isArray(results) ? results.at(-1) : undefined;
    const count = countOf(last);
    const keys = keyRows.safeParse(last);
    return {
      answer: "yes",
      count,
      keys: keys.success ? keys.data.map(({ key }) => key ?? "") : [],
      error: null,
    };
  } catch (error) {
    if (!isPostgresError(error)) throw error;
    const { code, message } = error;
    // Constraints, views that cannot be written, values that do not fit, triggers that fail.
    const isElsewhere =
      code.startsWith("23") || ["55000", "428C9", "0A000"].includes(code) || isRaisedByTrigger(error);
    if (isElsewhere) throw new NotAboutAccess(message);
    const text = `${code} ${message}`;
    return {
      answer: isRefusal(code, message, subject) ? "no" : { raised: text },
      count: 0,
      keys: null,
      error: text,
    };
  } finally {
    await tx.unsafe("rollback to savepoint attempt");
  }
}

function isRaisedByTrigger(error: Error): boolean {
  return "where" in error && String(error.where).includes("before_writing()");
}

/** How many rows a statement gave or changed. */
function countOf(result: unknown): number {
  return Array.isArray(result) && "count" in result ? z.number().parse(result.count) : 0;
}

/** Whether the command was refused by row level security or for want of a right on its own table. */
function isRefusal(code: string, message: string, subject: { schema: string; name: string }): boolean {
  if (code !== "42501") return false;
  const base = subject.name.replace(/ seen$/, "");
  return (
    message.startsWith("new row violates row-level security policy") ||
    message === `permission denied for schema ${subject.schema}` ||
    message === `permission denied for table ${base}` ||
    message === `permission denied for view ${subject.name}`
  );
}

/** The rows in question, read past row level security, and what the role may read; null when the role cannot be taken. */
async function readFacts(
  tx: postgres.Sql,
  { world: { subject }, question }: { world: Pick<Case["world"], "subject">; question: Case["question"] },
): Promise<{ keys: string[]; readable: string[] | null }> {
  const relation = relationName(subject);
  const key = quoteName(subject.key.name);
  const keys =
    question.command === "insert"
      ? "'{}'::text[]"
      : `array(select ${key}::text from ${relation} where ${matchCondition(subject, question)} order by 1)`;
  const role = await roleOf(tx, question);
  const readable =
    role === null
      ? "null::text[]"
      : `array(select att.attname::text from pg_catalog.pg_attribute as att where att.attrelid = ${quoteText(relation)}::regclass and att.attnum > 0 and not att.attisdropped and has_column_privilege(${quoteText(role)}, att.attrelid, att.attnum, 'select') order by att.attnum)`;
  const [facts] = factRows.parse([...(await tx.unsafe(`select ${keys} as keys, ${readable} as readable`))]);
  return facts;
}

async function roleOf(tx: postgres.Sql, question: Case["question"]): Promise<string | null> {
  try {
    const results: unknown = await tx.unsafe(
      ["savepoint attempt", ...becomeStatements(question), "select current_user::text as role"].join(";\n"),
    );
    const last: unknown = Array.isArray(results) ? results.at(-1) : undefined;
    return z.array(z.object({ role: z.string() })).parse(last)[0]?.role ?? null;
  } catch (error) {
    if (isPostgresError(error)) return null;
    throw error;
  } finally {
    await tx.unsafe("rollback to savepoint attempt");
  }
}

/** Narrows to what the server raised. */
export function isPostgresError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && error.name === "PostgresError" && "code" in error;
}
