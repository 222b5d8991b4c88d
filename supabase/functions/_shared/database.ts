import postgres from "postgres";
import * as z from "zod";

/** Sends a tagged template as one statement, on its own or in a transaction; answers its rows. */
export type Statements = (
  template: TemplateStringsArray,
  ...parameters: readonly (string | boolean | null)[]
) => PromiseLike<readonly Record<string, unknown>[]>;

/** How long a statement may run and wait for a lock, as Postgres writes durations. */
export interface Limits {
  statement: string;
  lock: string;
}

/** What `runbook.enter` answers. */
export type Door = z.infer<typeof door>;

type Json = Record<string, unknown>;

const door = z.object({ role: z.string(), version: z.string() });
const json = z.record(z.string(), z.unknown());

/**
 * A client of one connection, opened at the first statement; `onClose` hears each time that it was closed. Unnamed statements only, since the URL may be that of a
 * pooler; types are named in the statements, so none are fetched.
 */
export function openDatabase(
  url: string,
  applicationName: string,
  onClose: () => void = () => {},
): postgres.Sql {
  return postgres(url, {
    max: 1,
    prepare: false,
    fetch_types: false,
    idle_timeout: 30,
    connect_timeout: 5,
    // A request comes when somebody asks: it tries at once.
    backoff: () => 0,
    connection: { application_name: applicationName },
    // Notices may quote values.
    onnotice: () => {},
    onclose: onClose,
  });
}

/** Opens the door: sets role, caller and limits for the transaction. The limits hold for the statements after it. */
export async function enter(sql: Statements, claims: Json, requestId: string, limits: Limits): Promise<Door> {
  const [row] = await sql`
    select
      set_config('statement_timeout', ${limits.statement}, true),
      set_config('lock_timeout', ${limits.lock}, true),
      runbook.enter(${JSON.stringify(claims)}::text::jsonb, ${requestId}::text) as door`;
  return door.parse(row?.["door"]);
}

/** Sets the limits for the transaction of a caller that is not asked for a role: the schedule. */
export async function setLimits(sql: Statements, limits: Limits): Promise<void> {
  await sql`
    select
      set_config('statement_timeout', ${limits.statement}, true),
      set_config('lock_timeout', ${limits.lock}, true)`;
}

/** Uses up a one-time ticket. */
export async function redeemTicket(sql: Statements, ticket: string, endpoint: string): Promise<void> {
  await sql`select runbook.redeem_ticket(${ticket}::text, ${endpoint}::text)`;
}

/** The JSON Schema of an issue's parameters and the probes to refresh before it is diagnosed. */
export async function readIssue(
  sql: Statements,
  issue: string,
): Promise<{ parameters: unknown; probes: string[] }> {
  const [row] = await sql`
    select
      runbook.parameters(${issue}::text) as parameters,
      (select to_jsonb(iss.probes) from runbook.issue as iss where iss.name = ${issue}::text) as probes`;
  return { parameters: row?.["parameters"], probes: z.array(z.string()).parse(row?.["probes"]) };
}

/** The JSON Schema of a remediation's parameters. */
export async function readRemediation(
  sql: Statements,
  remediation: string,
): Promise<{ parameters: unknown }> {
  const [row] = await sql`select runbook.parameters(${remediation}::text) as parameters`;
  return { parameters: row?.["parameters"] };
}

/** Diagnoses an issue. */
export async function diagnose(sql: Statements, issue: string, params: Json): Promise<Json> {
  const [row] = await sql`
    select runbook.diagnose(${issue}::text, ${JSON.stringify(params)}::text::jsonb) as diagnosis`;
  return json.parse(row?.["diagnosis"]);
}

/** What a remediation is asked to do. */
export interface Change {
  name: string;
  params: Json;
  dryRun: boolean;
  reason: string | null;
  idempotencyKey: string | null;
  planHash: string | null;
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

/** One look at something outside the database. */
export interface Probe {
  name: string;
  ok: boolean;
  evidence: Json;
}

/** Records what was seen outside. */
export async function recordProbes(sql: Statements, probes: readonly Probe[]): Promise<void> {
  await sql`
    select
      set_config('lock_timeout', '1s', true),
      runbook.record_probe(seen.name, seen.ok, seen.evidence)
    from jsonb_to_recordset(${JSON.stringify(probes)}::text::jsonb)
      as seen (name text, ok boolean, evidence jsonb)`;
}

/** The checks, cheapest first. */
export async function checkNames(sql: Statements): Promise<string[]> {
  const [row] = await sql`select to_jsonb(runbook.check_names()) as names`;
  return z.array(z.string()).parse(row?.["names"]);
}

/** Runs one check: one entry of the report. */
export async function runCheck(sql: Statements, check: string): Promise<Json> {
  const [row] = await sql`select runbook.run_check(${check}::text) as entry`;
  return json.parse(row?.["entry"]);
}

/** Makes the report of the checks' entries. */
export async function composeReport(
  sql: Statements,
  entries: readonly Json[],
  detail: boolean,
): Promise<Json> {
  const [row] = await sql`
    select runbook.compose_report(${JSON.stringify(entries)}::text::jsonb, ${detail}::boolean) as report`;
  return json.parse(row?.["report"]);
}

/** The report as text of 80 columns. */
export async function reportText(sql: Statements, report: Json): Promise<string> {
  const [row] = await sql`select runbook.report_text(${JSON.stringify(report)}::text::jsonb) as text`;
  return z.string().parse(row?.["text"]);
}

/** Keeps a report. */
export async function recordReport(sql: Statements, report: Json): Promise<void> {
  await sql`
    select
      set_config('lock_timeout', '1s', true),
      runbook.record_report(${JSON.stringify(report)}::text::jsonb)`;
}
