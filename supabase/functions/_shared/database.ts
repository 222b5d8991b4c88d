import postgres from "postgres";
import * as z from "zod";
import { ApiError } from "./errors.ts";

/** Sends a tagged template as one statement, on its own or in a transaction; answers its rows. */
export type Statements = (
  template: TemplateStringsArray,
  ...parameters: readonly (string | boolean | null)[]
) => PromiseLike<readonly Record<string, unknown>[]>;

/** How long a statement may run and wait for a lock, as Postgres writes durations. */
export interface Limits {
  statement: string;
  lock: string;
  /** When the connection is ended, whatever a function catches; Postgres 17 can. */
  transaction?: string;
}

/** What `runbook.enter` answers. */
export type Door = z.infer<typeof door>;

type Json = Record<string, unknown>;

const door = z.object({ role: z.string(), version: z.string() });
const json = z.record(z.string(), z.unknown());

/**
 * A client of one connection, opened at the first statement; `onClose` hears each time that it was closed. Unnamed
 * statements only, since the URL may be that of a pooler; types are named in the statements, so none are fetched.
 * `statementTimeoutMs` and `lockTimeoutMs` (0 for none) take the place of the login's own.
 */
export function openDatabase(
  url: string,
  applicationName: string,
  {
    onClose = () => {},
    statementTimeoutMs,
    lockTimeoutMs,
  }: { onClose?: () => void; statementTimeoutMs?: number; lockTimeoutMs?: number } = {},
): postgres.Sql {
  return postgres(url, {
    max: 1,
    prepare: false,
    fetch_types: false,
    idle_timeout: 30,
    connect_timeout: 5,
    // A request comes when somebody asks: it tries at once.
    backoff: () => 0,
    connection: {
      application_name: applicationName,
      ...(statementTimeoutMs === undefined ? {} : timeout("statement_timeout", statementTimeoutMs)),
      ...(lockTimeoutMs === undefined ? {} : timeout("lock_timeout", lockTimeoutMs)),
    },
    // Notices may quote values.
    onnotice: () => {},
    onclose: onClose,
  });
}

/** With its unit, since postgres.js leaves out a parameter that is the number 0. */
function timeout(parameter: string, ms: number): Record<string, string> {
  return { [parameter]: `${ms}ms` };
}

/**
 * Opens the door: sets role, caller and limits for the transaction. The limits hold for the statements after it. Effects
 * of a run wait for `finishEffects`.
 */
export async function enter(sql: Statements, claims: Json, requestId: string, limits: Limits): Promise<Door> {
  const [row] = await sql`
    select
      set_config('statement_timeout', ${limits.statement}, true),
      set_config('lock_timeout', ${limits.lock}, true),
      case
        when current_setting('transaction_timeout', true) is not null and ${limits.transaction ?? null}::text is not null
          then set_config('transaction_timeout', ${limits.transaction ?? null}::text, true)
      end,
      set_config('runbook.effects_come_later', 'on', true),
      runbook.enter(${JSON.stringify(claims)}::text::jsonb, ${requestId}::text) as door`;
  return door.parse(row?.["door"]);
}

/**
 * For a request that found a table of the runbook locked.
 * @throws PostgresError 55P03 that names the sessions; nothing when there are none any more.
 */
export async function nameWhoLocks(sql: Statements): Promise<void> {
  await sql`select runbook.raise_own_table_locked()`;
}

/** Uses up a one-time ticket. */
export async function redeemTicket(sql: Statements, ticket: string, endpoint: string): Promise<void> {
  await sql`select runbook.redeem_ticket(${ticket}::text, ${endpoint}::text)`;
}

/**
 * The JSON Schema of an issue's parameters and the probes to refresh before it is diagnosed.
 * @throws ApiError 404 when the catalog has a remediation of this name.
 */
export async function readIssue(
  sql: Statements,
  issue: string,
): Promise<{ parameters: unknown; probes: string[] }> {
  const [row] = await sql`
    select
      runbook.parameters(${issue}::text) as parameters,
      (select to_jsonb(iss.probes) from runbook.issue as iss where iss.name = ${issue}::text) as probes`;
  if (row?.["probes"] === null) throw new ApiError("UNKNOWN_ENTRY");
  return { parameters: row?.["parameters"], probes: z.array(z.string()).parse(row?.["probes"]) };
}

/**
 * The JSON Schema of a remediation's parameters and the probes to refresh before it is planned.
 * @throws ApiError 404 when the catalog has an issue of this name.
 */
export async function readRemediation(
  sql: Statements,
  remediation: string,
): Promise<{ parameters: unknown; probes: string[] }> {
  const [row] = await sql`
    select
      runbook.parameters(${remediation}::text) as parameters,
      (select to_jsonb(rem.probes) from runbook.remediation as rem where rem.name = ${remediation}::text) as probes`;
  if (row?.["probes"] === null) throw new ApiError("UNKNOWN_ENTRY");
  return { parameters: row?.["parameters"], probes: z.array(z.string()).parse(row?.["probes"]) };
}

/** Diagnoses an issue. */
export async function diagnose(sql: Statements, issue: string, params: Json): Promise<Json> {
  const [row] = await sql`
    select runbook.diagnose(${issue}::text, ${JSON.stringify(params)}::text::jsonb) as diagnosis`;
  return json.parse(row?.["diagnosis"]);
}

/** Records that the caller diagnosed an issue as a person: `{ recorded, not_recorded_because }`. */
export async function recordLook(
  sql: Statements,
  issue: string,
  params: Json,
  verdict: string,
): Promise<Json> {
  const [row] = await sql`
    select runbook.record_look(
      ${issue}::text, ${JSON.stringify(params)}::text::jsonb, ${verdict}::text
    ) as look`;
  return json.parse(row?.["look"]);
}

/** The JSON Schema of what `explainAccess` takes. */
export async function readAccessParameters(
  sql: Statements,
): Promise<{ parameters: unknown; probes: string[] }> {
  const [row] = await sql`
    select runbook.access_parameters() as parameters, to_jsonb(runbook.access_probes()) as probes`;
  return { parameters: row?.["parameters"], probes: z.array(z.string()).parse(row?.["probes"]) };
}

/** Explains whether somebody may do something to rows, and records who asked. */
export async function explainAccess(sql: Statements, params: Json): Promise<Json> {
  const [row] = await sql`
    select runbook.explain_access(${JSON.stringify(params)}::text::jsonb) as explanation`;
  return json.parse(row?.["explanation"]);
}

/** How a change is asked for. SQL makes a key where none is given and none is needed. */
export interface Asked {
  dryRun: boolean;
  reason: string | null;
  idempotencyKey: string | null;
  planHash: string | null;
}

/** What a remediation is asked to do. */
export interface Change extends Asked {
  name: string;
  params: Json;
}

/** Plans or applies a remediation. */
export async function remediate(sql: Statements, change: Change): Promise<Json> {
  const [row] = await sql`
    select runbook.remediate(
      name => ${change.name}::text,
      params => ${JSON.stringify(change.params)}::text::jsonb,
      dry_run => ${change.dryRun}::boolean,
      reason => ${change.reason}::text,
      idempotency_key => ${change.idempotencyKey}::text,
      plan_hash => ${change.planHash}::text
    ) as remediation`;
  return json.parse(row?.["remediation"]);
}

/** Plans or applies the undo of a run. */
export async function undo(sql: Statements, runId: string, asked: Asked): Promise<Json> {
  const [row] = await sql`
    select runbook.undo(
      run_id => ${runId}::bigint,
      dry_run => ${asked.dryRun}::boolean,
      reason => ${asked.reason}::text,
      idempotency_key => ${asked.idempotencyKey}::text,
      plan_hash => ${asked.planHash}::text
    ) as undo`;
  return json.parse(row?.["undo"]);
}

/** The probes that the catalog's checks name and that nobody has looked at for the interval that it gives. */
export async function dueProbes(sql: Statements): Promise<string[]> {
  const [row] = await sql`select to_jsonb(runbook.due_probes()) as names`;
  return z.array(z.string()).parse(row?.["names"]);
}

/** One look at something outside the database. */
export interface Probe {
  name: string;
  ok: boolean;
  evidence: Json;
}

/** Records what was seen outside. Answers false when nothing is kept, because the database is read-only. */
export async function recordProbes(sql: Statements, probes: readonly Probe[]): Promise<boolean> {
  const rows = await sql`
    select
      set_config('lock_timeout', '1s', true),
      runbook.record_probe(seen.name, seen.ok, seen.evidence) as is_recorded
    from jsonb_to_recordset(${JSON.stringify(probes)}::text::jsonb)
      as seen (name text, ok boolean, evidence jsonb)`;
  return rows.every((row) => row["is_recorded"] === true);
}

/** Lets what was seen outside just now count for the rest of the transaction, whether or not it could be recorded. */
export async function carryProbes(sql: Statements, probes: readonly Probe[]): Promise<void> {
  await sql`select runbook.carry_probes(${JSON.stringify(probes)}::text::jsonb)`;
}

/** Which checks are asked for: by name, by group; all of them for nulls. */
export interface Choice {
  checks: readonly string[] | null;
  groups: readonly string[] | null;
}

/**
 * The checks of a choice, cheapest first. An empty list counts as none.
 * @throws a database error RB400 for names that the catalog does not have.
 */
export async function chosenChecks(sql: Statements, { checks, groups }: Choice): Promise<string[]> {
  const [row] = await sql`
    select to_jsonb(
      runbook.chosen_checks(
        (select array_agg(ask.name) from jsonb_array_elements_text(${JSON.stringify(checks ?? [])}::text::jsonb) as ask (name)),
        (select array_agg(ask.name) from jsonb_array_elements_text(${JSON.stringify(groups ?? [])}::text::jsonb) as ask (name))
      )
    ) as names`;
  return z.array(z.string()).parse(row?.["names"]);
}

/** Runs checks: an entry of the report each. Behind one that the statement's time limit cancelled they are skipped. */
export async function runChecks(sql: Statements, checks: readonly string[]): Promise<Json[]> {
  const [row] = await sql`
    select runbook.run_checks(
      names => array(
        select ask.name from jsonb_array_elements_text(${JSON.stringify(checks)}::text::jsonb) as ask (name)
      )
    ) as entries`;
  return z.array(json).parse(row?.["entries"]);
}

/** Makes the report of the checks' entries. */
export async function composeReport(
  sql: Statements,
  entries: readonly Json[],
  { detail, isPartial }: { detail: boolean; isPartial: boolean },
): Promise<Json> {
  const [row] = await sql`
    select runbook.compose_report(
      ${JSON.stringify(entries)}::text::jsonb,
      detail => ${detail}::boolean,
      is_partial => ${isPartial}::boolean
    ) as report`;
  return json.parse(row?.["report"]);
}

/** The report as text of 80 columns. */
export async function reportText(sql: Statements, report: Json, width: number): Promise<string> {
  const [row] = await sql`
    select runbook.report_text(${JSON.stringify(report)}::text::jsonb, ${String(width)}::integer) as text`;
  return z.string().parse(row?.["text"]);
}

/** Keeps a report. */
export async function recordReport(sql: Statements, report: Json): Promise<void> {
  await sql`
    select
      set_config('lock_timeout', '1s', true),
      runbook.record_report(${JSON.stringify(report)}::text::jsonb)`;
}

/** All members: `{ items, next }`. */
export async function listMembers(sql: Statements): Promise<Json> {
  const [row] = await sql`select runbook.member_list() as members`;
  return json.parse(row?.["members"]);
}

/** Makes the person with an address a member, or changes their role; answers their id. */
export async function addMember(sql: Statements, email: string, role: string): Promise<string> {
  const [row] = await sql`select runbook.add_member(${email}::text, ${role}::text) as user_id`;
  return z.string().parse(row?.["user_id"]);
}

/** Removes a member; answers their id. */
export async function removeMember(sql: Statements, email: string): Promise<string> {
  const [row] = await sql`select runbook.remove_member(${email}::text) as user_id`;
  return z.string().parse(row?.["user_id"]);
}

/** Whether applying is forbidden: `{ frozen, by, reason, since, until }`. */
export async function readFreeze(sql: Statements): Promise<Json> {
  const [row] = await sql`select runbook.freeze_state() as state`;
  return json.parse(row?.["state"]);
}

/** Forbids applying, until a time or until further notice. */
export async function freeze(sql: Statements, reason: string, until: string | null): Promise<Json> {
  const [row] = await sql`select runbook.freeze(${reason}::text, ${until}::timestamptz) as state`;
  return json.parse(row?.["state"]);
}

/** Allows applying again. */
export async function unfreeze(sql: Statements, reason: string): Promise<Json> {
  const [row] = await sql`select runbook.unfreeze(${reason}::text) as state`;
  return json.parse(row?.["state"]);
}
