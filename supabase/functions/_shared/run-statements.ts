import * as z from "zod";
import type { Statements } from "./database.ts";

type Json = Record<string, unknown>;

const json = z.record(z.string(), z.unknown());

/** One run in the shape of a remediation's answer. */
export async function readRun(sql: Statements, runId: string): Promise<Json> {
  const [row] = await sql`select runbook.run_of(${runId}::bigint) as run`;
  return json.parse(row?.["run"]);
}

/** A page of runs, newest first: `{ items, next }`. */
export async function listRuns(sql: Statements, filters: Json): Promise<Json> {
  const [row] = await sql`select runbook.runs(${JSON.stringify(filters)}::text::jsonb) as page`;
  return json.parse(row?.["page"]);
}

/** Records that a change was refused to the one of these claims; SQL leaves secrets among the parameters out. */
export async function recordRefusal(
  sql: Statements,
  refused: { claims: Json; name: string; code: string; message: string; params: Json },
): Promise<void> {
  await sql`
    select
      set_config('lock_timeout', '1s', true),
      runbook.record_refusal(
        ${JSON.stringify(refused.claims)}::text::jsonb,
        ${refused.name}::text,
        ${refused.code}::text,
        ${refused.message}::text,
        ${JSON.stringify(refused.params)}::text::jsonb
      )`;
}

/** Performs the effects of a run that was committed. */
export async function finishEffects(sql: Statements, runId: string): Promise<void> {
  await sql`select runbook.finish_effects(${runId}::bigint)`;
}

const call = z.object({
  id: z.number().transform(String),
  run_id: z.number().transform(String),
  token: z.string(),
  service: z.string(),
  method: z.string(),
  path: z.string(),
  body: z.unknown().optional(),
  idempotency_key: z.string(),
  attempt: z.number(),
});

/** A request to a service outside, leased to the one who claimed it. */
export type Call = z.infer<typeof call>;

/** How a call went: an answer's status, or the word for why there was none. */
export interface Outcome {
  status?: number;
  error?: string;
  retry_after_s?: number;
}

/** Leases the next due call of a run, or of any run; undefined when none is due. */
export async function claimCall(sql: Statements, runId: string | null): Promise<Call | undefined> {
  const [row] = await sql`select runbook.claim_calls(${runId}::bigint, 1) as call`;
  return row === undefined ? undefined : call.parse(row["call"]);
}

/** Says how a call went; SQL decides what follows for it and for its run. An answer after the lease changes nothing. */
export async function settleCall(sql: Statements, { id, token }: Call, outcome: Outcome): Promise<void> {
  await sql`
    select runbook.settle_call(
      ${id}::bigint,
      ${token}::uuid,
      ${JSON.stringify(outcome)}::text::jsonb
    )`;
}

const statement = z.object({
  position: z.number(),
  statement: z.string(),
  application_name: z.string(),
  lock_timeout_ms: z.number(),
});

/** A statement that a run has to perform outside of any transaction. */
export type PendingStatement = z.infer<typeof statement>;

/** The next statement of a run; undefined when there is none. */
export async function nextStatement(sql: Statements, runId: string): Promise<PendingStatement | undefined> {
  const [row] = await sql`select runbook.next_statement(${runId}::bigint) as next`;
  return row?.["next"] === null ? undefined : statement.parse(row?.["next"]);
}

/** Says how a statement went: the SQLSTATE of its failure, if it failed. */
export async function settleStatement(
  sql: Statements,
  runId: string,
  position: number,
  error: string | null,
): Promise<void> {
  await sql`
    select runbook.settle_statement(
      ${runId}::bigint,
      ${String(position)}::integer,
      ${error === null}::boolean,
      ${error}::text
    )`;
}

/** Runs that wait for somebody to perform a statement or batches. */
export async function runsToFollow(sql: Statements): Promise<string[]> {
  const rows = await sql`select run_id::text from runbook.runs_to_follow() as run_id`;
  return rows.map((row) => z.string().parse(row["run_id"]));
}

/** Moves a run on that nobody is at, where no schedule does; whether to go on following it. */
export async function takeUpRun(sql: Statements, runId: string): Promise<boolean> {
  const [row] = await sql`select runbook.take_up_run(${runId}::bigint) as follow`;
  return row?.["follow"] === true;
}

/** Does one batch of a run, in a transaction of its own; whether there is another to be done at once. */
export async function workOnBatch(sql: Statements, runId: string): Promise<boolean> {
  const [row] = await sql`select runbook.work_on_batch(${runId}::bigint) as more`;
  return row?.["more"] === true;
}
