import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { findPostgres } from "./binaries.ts";
import { loadDemo } from "./demo.ts";
import { installExtensions, installPgtap } from "./extensions/install-extensions.ts";
import { type Fingerprint, firstDifference, takeFingerprint } from "./fingerprint.ts";
import { applyMigrations, applyMigrationsBeside } from "./migrations.ts";
import { applyPlatform } from "./platform/apply-platform.ts";
import {
  connect,
  initializeCluster,
  type PostgresServer,
  type PostgresServerOptions,
  reachableBinaries,
  startPostgres,
  superuser,
} from "./postgres-server.ts";
import type { Progress } from "./progress.ts";
import type { Reaper } from "./reaper.ts";
import { canReach, chooseRunAs, type RunAs } from "./run-as.ts";
import { messageOf, StackError } from "./stack-error.ts";
import type { StateDirectory } from "./state-directory.ts";

/** A database with platform, runbook and demo school in it. */
export interface StackDatabase {
  /** Login as `postgres` over TCP. */
  url: string;
  /** The embedded server; null for a database that was given by STACK_DATABASE_URL. */
  server: PostgresServer | null;
  /** True when pg_cron and pg_net are the real ones, so that no scheduler or worker of the stack is needed. */
  realCron: boolean;
  realNet: boolean;
  /** Whether the demo school was loaded by the stack, so that its people may be signed in. */
  demo: boolean;
  stop(): Promise<void>;
}

/** Options of {@link openEmbeddedDatabase}. */
export interface EmbeddedDatabaseOptions {
  root: string;
  state: StateDirectory;
  port: number;
  postgresBin: string | undefined;
  /** The data is removed when the stack ends. */
  temporary: boolean;
  /** Whether pgTAP is installed as well. */
  pgtap: boolean;
  reaper: Reaper;
  progress: Progress;
  onCrash(sentence: string): void;
}

/**
 * Brings up the embedded Postgres. A database that was made by the same files is used again; any other is made
 * anew, and the reason is said. What a kill in the middle left half made counts as not made.
 */
export async function openEmbeddedDatabase(options: EmbeddedDatabaseOptions): Promise<StackDatabase> {
  const { root, state, progress } = options;
  const found = findPostgres(options.postgresBin);
  const marker = state.file("made-from.json");
  const fingerprint = takeFingerprint(root, found.postgres);
  const serverOptions = prepareServerOptions(options);
  const why = reasonToMakeAnew(marker, serverOptions.dataDirectory, fingerprint);
  let server: PostgresServer;
  if (why === null) {
    try {
      server = await progress.step("Postgres", () => startStored(serverOptions));
    } catch (error) {
      progress.say(`The stored database cannot be used, so it is made anew: ${messageOf(error)}`);
      server = await makeDatabase(options, serverOptions);
    }
  } else {
    if (why !== "") progress.say(`The database is made anew: ${why}.`);
    server = await makeDatabase(options, serverOptions);
  }
  writeFileSync(marker, JSON.stringify(fingerprint));
  const real = await realExtensions(server);
  return {
    url: embeddedUrl(options.port),
    server,
    realCron: real.includes("pg_cron"),
    realNet: real.includes("pg_net"),
    demo: true,
    stop: () => server.stop(),
  };
}

/**
 * Uses a database that exists already: migrations and, into an empty school, the demo. Nothing here needs a superuser.
 * @throws StackError when it cannot be reached or is no Supabase database.
 */
export async function openGivenDatabase(
  root: string,
  url: string,
  progress: Progress,
): Promise<StackDatabase> {
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
    connection: { application_name: "stack" },
  });
  try {
    const extensions = await progress.step(`Database at ${new URL(url).host}`, () => inspect(sql, progress));
    if (!extensions.hasCron)
      progress.say("Without pg_cron the minute's check is not scheduled; it can be asked for over HTTP.");
    if (!extensions.hasNet)
      progress.say("Without pg_net the scheduled check cannot look at Auth and says so.");
    await progress.step("Migrations", async () =>
      applyMigrationsBeside(await recordedMigrations(sql), root, url),
    );
    const skipped = await progress.step("Demo school", () => loadDemo(sql, root));
    if (skipped !== null) progress.say(skipped);
    return { url, server: null, realCron: true, realNet: true, demo: skipped === null, stop: async () => {} };
  } finally {
    await sql.end({ timeout: 2 });
  }
}

/** Starts the server on a stored database. @throws StackError, with the server stopped, when the runbook is not in it. */
async function startStored(serverOptions: PostgresServerOptions): Promise<PostgresServer> {
  const server = await startPostgres(serverOptions);
  const sql = connect(server, { user: "postgres" });
  try {
    const [row] = await sql<{ installed: boolean }[]>`
      select pg_catalog.to_regprocedure('runbook.version()') is not null as installed
    `;
    if (row?.installed !== true) throw new StackError("schema runbook was removed from it.");
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function realExtensions(server: PostgresServer): Promise<string[]> {
  const sql = connect(server, { user: superuser });
  try {
    const rows = await sql<
      { name: string }[]
    >`select ext.extname as name from pg_catalog.pg_extension as ext`;
    return rows.map((row) => row.name);
  } finally {
    await sql.end();
  }
}

/** The versions that the Supabase CLI has on record in a database. */
async function recordedMigrations(sql: postgres.Sql): Promise<string[]> {
  const [table] = await sql<{ is_there: boolean }[]>`
    select pg_catalog.to_regclass('supabase_migrations.schema_migrations') is not null as is_there`;
  if (table?.is_there !== true) return [];
  const rows = await sql<{ version: string }[]>`
    select mig.version from supabase_migrations.schema_migrations as mig`;
  return rows.map(({ version }) => version);
}

function embeddedUrl(port: number): string {
  return `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`;
}

async function inspect(
  sql: postgres.Sql,
  progress: Progress,
): Promise<{ hasCron: boolean; hasNet: boolean }> {
  try {
    const [row] = await sql<{ login: string; auth: boolean }[]>`
      select
        current_user::text as login,
        pg_catalog.to_regclass('auth.users') is not null as auth
    `;
    if (row?.auth !== true) {
      throw new StackError(
        "STACK_DATABASE_URL names a database without auth.users: it is no Supabase database.",
      );
    }
    if (row.login !== "postgres") {
      throw new StackError(
        `STACK_DATABASE_URL logs in as ${row.login}; the runbook is installed as postgres.`,
      );
    }
    for (const name of ["pg_cron", "pg_net"]) {
      const [available] = await sql`
        select from pg_catalog.pg_available_extensions as ext
        where ext.name = ${name} and ext.installed_version is null
      `;
      // Supabase lets postgres create these two; elsewhere the attempt may be refused.
      if (available !== undefined) {
        await sql.unsafe(`create extension if not exists ${name}`).catch((error: unknown) => {
          progress.say(`The extension ${name} could not be created: ${messageOf(error)}`);
        });
      }
    }
    const [now] = await sql<{ cron: boolean; net: boolean }[]>`
      select pg_catalog.to_regnamespace('cron') is not null as cron, pg_catalog.to_regnamespace('net') is not null as net
    `;
    return { hasCron: now?.cron === true, hasNet: now?.net === true };
  } catch (cause) {
    if (cause instanceof StackError) throw cause;
    throw new StackError(
      `The database of STACK_DATABASE_URL cannot be used: ${messageOf(cause)}`,
      undefined,
      { cause },
    );
  }
}

async function makeDatabase(
  options: EmbeddedDatabaseOptions,
  serverOptions: PostgresServerOptions,
): Promise<PostgresServer> {
  const { progress, root, port } = options;
  rmSync(options.state.file("made-from.json"), { force: true });
  await progress.step("Cluster", () => initializeCluster(serverOptions));
  const server = await progress.step("Postgres", () => startPostgres(serverOptions));
  try {
    const admin = connect(server, { user: superuser });
    try {
      await progress.step("Platform", async () => {
        await applyPlatform(admin);
        await installExtensions(admin);
        if (options.pgtap) await installPgtap(admin);
      });
    } finally {
      await admin.end();
    }
    await progress.step("Migrations", () => applyMigrations(root, embeddedUrl(port)));
    const sql = connect(server, { user: "postgres" });
    try {
      await progress.step("Demo school", () => loadDemo(sql, root));
    } finally {
      await sql.end();
    }
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function prepareServerOptions(options: EmbeddedDatabaseOptions): PostgresServerOptions {
  const runAs = chooseRunAs();
  const home = dataHome(options.state.path, runAs);
  if (options.temporary) options.reaper.removeDirectory(home);
  const socketDirectory = makeSocketDirectory(runAs);
  options.reaper.removeDirectory(socketDirectory);
  return {
    binaries: reachableBinaries(findPostgres(options.postgresBin), runAs, home),
    dataDirectory: join(home, "data"),
    socketDirectory,
    logFile: options.state.file("log/postgres.log"),
    port: options.port,
    runAs,
    reaper: options.reaper,
    onCrash: options.onCrash,
  };
}

/** The state directory, or, where root's checkout is closed to the server's user, a directory of root's own that is not. */
function dataHome(statePath: string, runAs: RunAs | null): string {
  if (runAs === null || canReach(statePath, runAs)) return statePath;
  const home = `/var/tmp/supabase-runbook-${createHash("sha256").update(statePath).digest("hex").slice(0, 12)}`;
  mkdirSync(home, { recursive: true, mode: 0o755 });
  if (lstatSync(home).uid !== 0)
    throw new StackError(`${home} belongs to somebody else.`, "Remove it and start again.");
  return home;
}

/** A new directory with a short name, since the path of a socket may have 107 bytes at most. */
function makeSocketDirectory(runAs: RunAs | null): string {
  const parent =
    [tmpdir(), "/tmp", "/var/tmp"].find((directory) => runAs === null || canReach(directory, runAs)) ??
    "/tmp";
  return mkdtempSync(join(parent, "runbook-"));
}

/** Null: the stored database fits. Empty: there is none. Else why it does not fit. */
function reasonToMakeAnew(marker: string, dataDirectory: string, current: Fingerprint): string | null {
  if (!existsSync(marker)) return existsSync(dataDirectory) ? "the last start did not get to its end" : "";
  if (!existsSync(join(dataDirectory, "PG_VERSION"))) return "its files are gone";
  const applied: Fingerprint = JSON.parse(readFileSync(marker, "utf8"));
  return firstDifference(applied, current);
}
