import type { Sql } from "postgres";
import { percentile } from "../bench/statistics.ts";
import { table, wholeNumber } from "../bench/table.ts";
import { connect, superuser } from "../stack/postgres-server.ts";
import type { Stack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";
import { checkPostgres } from "./peers/check-postgres.ts";
import { postgresExporter } from "./peers/exporter.ts";
import type { Peer, PeerCommand } from "./peers/peer.ts";
import { supabaseAdvisors, supabaseInspect } from "./peers/supabase-cli.ts";

/** How large the catalog is made: so many tables with so many indexes each, in a few schemas. */
export const largeCatalog = { tables: 10_000, indexesEach: 3 } as const;

/** What the whole report may take on it; ms and bytes. */
export const largeCatalogGoals = { tookMs: 1000, bytes: 64 * 1024 } as const;

/** What was measured on a database with very many tables. */
export interface LargeCatalogResult {
  fillMs: number;
  /** The first report, with nothing in the session's caches; ms. */
  coldMs: number;
  /** Each further report; ms. */
  warmMs: number[];
  /** Length of the report as it is answered by default. */
  bytes: number;
  /** Each check's own cost in the last report, the dearest first; ms. */
  checks: { name: string; tookMs: number }[];
  peers: { title: string; commands: PeerCommand[] | null }[];
}

const rounds = 9;
const tablesAtOnce = 250;

/** Fills the database of a stack with tables and indexes, and asks us and the peers. */
export async function measureLargeCatalog(
  { stack, root, path }: { stack: Stack; root: string; path: string | null },
  progress: (line: string) => void,
): Promise<LargeCatalogResult> {
  const { socket } = stack;
  if (socket === null)
    throw new StackError("This is measured on a database of its own, never on a given one.");
  const server = { socketDirectory: socket.directory, port: socket.port };
  const platform = connect(server, { user: superuser, applicationName: "large catalog platform" });
  const sql = connect(server, { user: "postgres", applicationName: "large catalog" });
  try {
    await platform.unsafe("create extension if not exists pgstattuple with schema extensions");
    const begun = performance.now();
    await fill(sql, progress);
    const fillMs = performance.now() - begun;
    progress("calling the collectors, as the schedule does");
    // Twice: the first snapshot of the statements only sets a mark.
    for (let round = 0; round < 2; round += 1) await collect(sql);
    const cold = await ask(sql);
    const warm: Awaited<ReturnType<typeof ask>>[] = [];
    for (let round = 0; round < rounds; round += 1) warm.push(await ask(sql));
    const last = warm.at(-1) ?? cold;
    const peers: LargeCatalogResult["peers"] = [];
    for (const peer of path === null
      ? []
      : [supabaseAdvisors, supabaseInspect, checkPostgres, postgresExporter]) {
      progress(`asking ${peer.title}`);
      peers.push({ title: peer.title, commands: await askPeer(peer, stack, root, path ?? "") });
    }
    return {
      fillMs,
      coldMs: cold.tookMs,
      warmMs: warm.map(({ tookMs }) => tookMs),
      bytes: last.bytes,
      checks: last.checks,
      peers,
    };
  } finally {
    await Promise.all([sql.end({ timeout: 1 }), platform.end({ timeout: 1 })]);
  }
}

/** The figures as Markdown. */
export function largeCatalogChapter(result: LargeCatalogResult): string {
  const p50 = percentile(result.warmMs, 50);
  const goal = (met: boolean): string => (met ? "met" : "missed");
  return [
    `The stack's database with ${largeCatalog.tables.toLocaleString("en-US")} tables and ${(largeCatalog.tables * largeCatalog.indexesEach).toLocaleString("en-US")} indexes more (made in ${(result.fillMs / 1000).toFixed(0)} s). The runbook's report is \`runbook.health_check()\`, all checks, after its collectors have run, ${result.warmMs.length} times; the others are their commands, once each, standard output and error.`,
    table(
      ["whole report", "ms", "bytes", "goal"],
      [
        [
          "runbook, warm, median",
          wholeNumber(p50),
          wholeNumber(result.bytes),
          goal(p50 < largeCatalogGoals.tookMs && result.bytes < largeCatalogGoals.bytes),
        ],
        ["runbook, first of its session", wholeNumber(result.coldMs), "", ""],
        ...result.peers.map(({ title, commands }) =>
          commands === null
            ? [title, "not installed", "", ""]
            : [
                `${title}, ${commands.length} ${commands.length === 1 ? "part" : "parts"}`,
                wholeNumber(commands.reduce((sum, { tookMs }) => sum + tookMs, 0)),
                wholeNumber(commands.reduce((sum, { output }) => sum + Buffer.byteLength(output), 0)),
                commands.some(({ hung }) => hung) ? "cut off" : "",
              ],
        ),
      ],
    ),
    `The dearest checks, ms: ${result.checks
      .slice(0, 15)
      .map(({ name, tookMs }) => `\`${name}\` ${tookMs.toFixed(0)}`)
      .join(", ")}.`,
  ].join("\n\n");
}

async function fill(sql: Sql, progress: (line: string) => void): Promise<void> {
  for (let schema = 0; schema < 10; schema += 1)
    await sql.unsafe(`create schema if not exists large_${schema}`);
  for (let first = 0; first < largeCatalog.tables; first += tablesAtOnce) {
    // A transaction may hold only so many locks.
    await sql.unsafe(`
      do $$
      begin
        for v_n in ${first} .. ${first + tablesAtOnce - 1} loop
          execute format('create table large_%s.table_%s (id bigint generated always as identity primary key, owner_id bigint, name text, created_at timestamptz)', v_n % 10, v_n);
          execute format('create index on large_%s.table_%s (owner_id)', v_n % 10, v_n);
          execute format('create index on large_%s.table_%s (name, created_at)', v_n % 10, v_n);
        end loop;
      end;
      $$`);
    progress(`making tables: ${first + tablesAtOnce} of ${largeCatalog.tables}`);
  }
  await sql.unsafe(
    "analyze pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_index, pg_catalog.pg_depend, pg_catalog.pg_constraint",
  );
}

async function collect(sql: Sql): Promise<void> {
  const collectors = await sql<{ name: string }[]>`select col.name from runbook.collector as col`;
  for (const { name } of collectors) await sql`select runbook.collect(${name})`;
}

async function ask(
  sql: Sql,
): Promise<{ tookMs: number; bytes: number; checks: LargeCatalogResult["checks"] }> {
  const begun = performance.now();
  const [row] = await sql<{ report: string }[]>`select runbook.health_check()::text as report`;
  const tookMs = performance.now() - begun;
  const checks = await sql<{ name: string; took_ms: number }[]>`
    select ent.value ->> 'check' as name, (ent.value ->> 'took_ms')::float8 as took_ms
    from jsonb_array_elements(${row?.report ?? "{}"}::text::jsonb -> 'checks') as ent
    order by took_ms desc`;
  return {
    tookMs,
    bytes: Buffer.byteLength(row?.report ?? ""),
    checks: checks.map(({ name, took_ms }) => ({ name, tookMs: took_ms })),
  };
}

function askPeer(peer: Peer, stack: Stack, root: string, path: string): Promise<PeerCommand[] | null> {
  return peer.run({ url: stack.databaseUrl, root, path, limitMs: 120_000 });
}
