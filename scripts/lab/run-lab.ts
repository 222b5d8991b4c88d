import type { Sql } from "postgres";
import { connect, superuser } from "../stack/postgres-server.ts";
import type { Stack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";
import type { Fault, Lab, Mark, Trap, TrapResult } from "./lab.ts";
import { askOurselves, findingsOf, findMarked, type OurFinding, type OurReport } from "./our-report.ts";
import { ownFaults } from "./own-faults.ts";
import { checkPostgres } from "./peers/check-postgres.ts";
import { postgresExporter } from "./peers/exporter.ts";
import type { PeerResult } from "./peers/peer.ts";
import { supabaseAdvisors, supabaseInspect } from "./peers/supabase-cli.ts";
import { publishedFaults } from "./published-faults.ts";
import { mustBeFound, traps } from "./traps.ts";
import { askAgainAfterReset, vacuumOfOthers } from "./traps-of-time.ts";
import { tunings } from "./tunings.ts";

/** A fault and whether we found it. */
export interface FaultResult {
  fault: Fault;
  found: OurFinding | undefined;
}

/** Everything that one run of the lab found. */
export interface LabResult {
  postgres: string;
  faults: FaultResult[];
  traps: TrapResult[];
  report: OurReport;
  /** The whole report in one statement, as the caller measured it; ms. */
  tookMs: number;
  /** Findings about the lab's own tables that belong to no fault. */
  others: OurFinding[];
  /** What the peers said before any session was stuck, and while some were. */
  peers: { calm: PeerResult[]; stuck: PeerResult[] };
}

/** What a run of the lab works on. */
export interface LabOptions {
  stack: Stack;
  root: string;
  /** The variable PATH, where peers are looked for; null runs no peer. */
  path: string | null;
  progress(line: string): void;
}

const peers = [supabaseInspect, supabaseAdvisors, checkPostgres, postgresExporter];

/** A command that waits for a lock waits as long as the lock is held. */
const peerLimitMs = 20_000;

/** How long a collector may be kept from its work by one of the schedule. */
const collectMs = 30_000;

/** The counters of other sessions arrive when those have been idle for ten seconds; a long query is one of five. */
const settleMs = 13_000;

/** Seeds the database of a stack with every fault and trap, asks us and the peers, and says who found what. */
export async function runLab({ stack, root, path, progress }: LabOptions): Promise<LabResult> {
  const { socket } = stack;
  if (socket === null) throw new StackError("The lab works on a database of its own, never on a given one.");
  const server = { socketDirectory: socket.directory, port: socket.port };
  const sessions: Sql[] = [];
  const open = (user: string, applicationName: string): Sql => {
    const sql = connect(server, { user, applicationName });
    sessions.push(sql);
    return sql;
  };
  const lab: Lab = { sql: open("postgres", "lab"), platform: open(superuser, "lab platform"), open };
  try {
    await prepare(lab);
    const everything = [...publishedFaults, ...ownFaults, ...traps];
    let seeded = 0;
    const seed = async (now: Fault["phase"]): Promise<void> => {
      for (const one of everything.filter(({ phase }) => phase === now)) {
        seeded += 1;
        progress(`seeding ${one.id}: ${one.title} (${seeded} of ${everything.length})`);
        await one.make(lab);
      }
    };
    const settle = async (): Promise<void> => {
      progress("waiting until the counters have arrived");
      await new Promise((wake) => setTimeout(wake, settleMs));
    };
    const ask = async (when: string): Promise<PeerResult[]> =>
      path === null ? [] : askPeers({ stack, root, path, progress: (line) => progress(`${when}: ${line}`) });
    await seed(undefined);
    await lab.platform`select extensions.pg_stat_statements_reset()`;
    await seed("traffic");
    if (path !== null) await settle();
    const calm = await ask("calm database");
    await seed("stuck");
    await settle();
    await watch(lab.sql);
    await tune(lab.sql);
    await askOurselves(lab.sql); // fills the caches, as the schedule would have
    const { report, tookMs } = await askOurselves(lab.sql);
    const findings = findingsOf(report);
    const stuck = await ask("stuck database");
    return {
      postgres: await versionOf(lab.sql),
      faults: [...publishedFaults, ...ownFaults].map((fault) => ({
        fault,
        found: findMarked(findings, fault.marks),
      })),
      traps: [
        ...traps.map((trap) => judgeTrap(trap, findings)),
        await askAgainAfterReset(lab),
        await vacuumOfOthers(lab),
      ].toSorted((one, other) => Number(one.id.slice(1)) - Number(other.id.slice(1))),
      report,
      tookMs,
      others: unexplained(findings),
      peers: { calm, stuck },
    };
  } finally {
    await Promise.all(sessions.map((sql) => sql.end({ timeout: 0 })));
  }
}

async function prepare({ sql, platform }: Lab): Promise<void> {
  // Autovacuum would mend some faults before anyone looks.
  await platform.unsafe("alter system set autovacuum_naptime = '1h'");
  await platform`select pg_reload_conf()`;
  // On Supabase `postgres` may create both itself.
  await platform.unsafe("create extension if not exists pgstattuple with schema extensions");
  const [hypopg] = await sql`select from pg_available_extensions where name = 'hypopg'`;
  if (hypopg !== undefined)
    await platform.unsafe("create extension if not exists hypopg with schema extensions");
  // What the schedule does each hour happens at the moments that the lab needs: all of it before the seeds, and a look
  // at the usage after them. One in between would make an index that appeared later too new to be called unused.
  for (const { name } of await sql<{ name: string }[]>`select name from runbook.collector order by name`)
    await collect(sql, name);
  await sql.unsafe("create schema shop");
}

/** Calls a collector, after one of the schedule that is under way. @throws Error with what went wrong in it. */
async function collect(sql: Sql, name: string): Promise<void> {
  for (const begun = Date.now(); ; await new Promise((wake) => setTimeout(wake, 100))) {
    const [row] = await sql<{ done: boolean }[]>`select runbook.collect(${name}) as done`;
    if (row?.done === true) return;
    if (Date.now() - begun < collectMs) continue;
    const [state] = await sql`select error from runbook.collector_state where collector_name = ${name}`;
    throw new Error(`The collector ${name} did not succeed: ${JSON.stringify(state ?? null)}`);
  }
}

/** What the hourly look sees after the seeds. */
async function watch(sql: Sql): Promise<void> {
  await collect(sql, "usage");
  await collect(sql, "autovacuum_due");
  // As if all but the trap had been past their triggers for longer than the lab holds autovacuum back.
  await sql`
    update runbook.autovacuum_due as due
    set since = due.since - interval '1 day'
    where due.relation is distinct from to_regclass('shop.just_changed')`;
}

/** What is a fault after minutes or days is one after a second in the lab; the thresholds are data. */
async function tune(sql: Sql): Promise<void> {
  for (const { check, thresholds } of tunings)
    await sql`select runbook.tune_check(${check}, ${sql.json(thresholds)})`;
}

async function askPeers(options: LabOptions & { path: string }): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  for (const peer of peers) {
    options.progress(`asking ${peer.title}`);
    const target = {
      url: options.stack.databaseUrl,
      root: options.root,
      path: options.path,
      limitMs: peerLimitMs,
    };
    results.push({ name: peer.name, title: peer.title, commands: await peer.run(target) });
  }
  return results;
}

function judgeTrap(trap: Trap, findings: readonly OurFinding[]): TrapResult {
  const said = findMarked(findings, trap.alarms);
  const missed = mustBeFound.find(
    (must) => must.trap === trap.id && findMarked(findings, [must.mark]) === undefined,
  );
  const alarm =
    missed === undefined
      ? said === undefined
        ? ""
        : `${said.summary} ${JSON.stringify(said.evidence)}`
      : "It was not found.";
  return { id: trap.id, title: trap.title, trap, alarm };
}

/** What is true of a seed beside the fault that it is for. */
const consequences: readonly Mark[] = [
  {
    check: "idle_in_transaction",
    codes: ["idle_in_transaction"],
    names: /quiet reader|first writer|slow visitor|old report/,
  },
  { check: "sequential_scans", codes: ["large_table_scanned"], names: /public\.catalogue/ },
  { check: "dead_rows", codes: ["dead_rows_pile_up"], names: /shop\.stale/ },
  { check: "table_statistics", codes: ["statistics_stale"], names: /shop\.stale/ },
];

/** Findings about what the lab made that no fault explains: each is a false alarm or a fault that was not meant. */
function unexplained(findings: readonly OurFinding[]): OurFinding[] {
  const marks = [
    ...[...publishedFaults, ...ownFaults].flatMap((fault) => fault.marks),
    ...mustBeFound.map(({ mark }) => mark),
    ...consequences,
  ];
  return findings.filter(
    (found) =>
      found.severity !== "info" &&
      /shop\.|public\.(?:catalogue|notes|wide_open|not_granted|diary)/.test(
        `${found.subject ?? ""} ${found.summary}`,
      ) &&
      findMarked([found], marks) === undefined,
  );
}

async function versionOf(sql: Sql): Promise<string> {
  const [row] = await sql<{ version: string }[]>`select current_setting('server_version') as version`;
  return row?.version ?? "unknown";
}
