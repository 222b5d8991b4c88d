import { existsSync, readFileSync } from "node:fs";
import type { Row } from "postgres";
import { afterEach, inject } from "vitest";
import { takeAnswers } from "./answers.ts";

// What a test that failed cannot say itself, for whoever reads of it later: what the endpoints answered, what the
// functions logged, and what the stack was at. CI keeps nothing else.

const logLines = 12;

afterEach(async ({ task }) => {
  const answers = takeAnswers();
  if (task.result?.state !== "fail") return;
  const told = [
    ...answers.map((answer) => `answer: ${answer}`),
    ...logOfFunctions().map((line) => `log: ${line}`),
    ...(await stateOfStack()),
  ];
  console.error(`While "${task.name}" failed:\n${told.map((line) => `  ${line.slice(0, 600)}`).join("\n")}`);
}, 60_000);

function logOfFunctions(): string[] {
  const file = inject("functionsLog");
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-logLines);
}

/** One line a session, run, job and check that may have to do with it; or why they cannot be read. */
async function stateOfStack(): Promise<string[]> {
  // Loaded when it is needed: this file is part of every test file.
  const { default: postgres } = await import("postgres");
  const sql = postgres(inject("databaseUrl"), { max: 1, connect_timeout: 5, onnotice: () => {} });
  const lines: string[] = [];
  const tell = async (what: string, query: () => PromiseLike<readonly Row[]>): Promise<void> => {
    try {
      for (const row of await query()) lines.push(`${what}: ${JSON.stringify(row)}`);
    } catch (error) {
      lines.push(`${what}: ${String(error)}`);
    }
  };
  await tell("time", () => sql`select clock_timestamp() as now, pg_postmaster_start_time() as server_began`);
  await tell(
    "session",
    () => sql`
      select
        act.pid, act.application_name, act.state, act.wait_event_type, act.wait_event,
        clock_timestamp() - act.query_start as since, pg_blocking_pids(act.pid) as blocked_by,
        left(act.query, 120) as query
      from pg_catalog.pg_stat_activity as act
      where act.state <> 'idle' and act.pid <> pg_backend_pid()
      order by act.query_start limit 30`,
  );
  await tell(
    "run",
    () => sql`
      select run.id, run.remediation, run.subject, run.state, run.started_at, run.error, run.verification
      from runbook.run as run
      where run.state = 'applying' or run.started_at > clock_timestamp() - interval '1 minute'
      order by run.id desc limit 8`,
  );
  await tell(
    "job",
    () => sql`
      select left(det.command, 40) as command, det.status, det.return_message, det.start_time, det.end_time
      from cron.job_run_details as det
      where det.start_time > clock_timestamp() - interval '70 seconds' or det.end_time is null
      order by det.runid desc limit 8`,
  );
  await tell(
    "check",
    () => sql`
      select
        stt.check_name, stt.measured_at, stt.entry ->> 'status' as status, stt.entry ->> 'reason' as reason,
        jsonb_path_query_array(stt.entry, '$.findings[*].summary') as findings
      from runbook.check_state as stt
      where stt.entry ->> 'status' in ('error', 'skipped', 'critical')
      order by stt.check_name limit 20`,
  );
  await sql.end({ timeout: 1 }).catch(() => {});
  return lines;
}
