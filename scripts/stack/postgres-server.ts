import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { hasModule, type PostgresBinaries } from "./binaries.ts";
import type { Reaper } from "./reaper.ts";
import type { RunAs } from "./run-as.ts";
import { canReach } from "./run-as.ts";
import { messageOf, StackError } from "./stack-error.ts";

/** What a server needs to start. All directories are absolute. */
export interface PostgresServerOptions {
  binaries: PostgresBinaries;
  dataDirectory: string;
  /** Holds the socket through which the stack logs in as any role; readable by the server's user only. */
  socketDirectory: string;
  logFile: string;
  port: number;
  runAs: RunAs | null;
  reaper: Reaper;
  /** Called when the server ends without having been asked to. */
  onCrash(sentence: string): void;
}

/** A running server. */
export interface PostgresServer {
  readonly socketDirectory: string;
  readonly port: number;
  /** Resolves when the server has shut down; a second call waits for the same end. */
  stop(): Promise<void>;
}

/** The bootstrap superuser, as on Supabase. */
export const superuser = "supabase_admin";

/**
 * Creates an empty cluster in the C.UTF-8 locale whose superuser is `supabase_admin`.
 * The private socket trusts everyone who can reach it; over TCP a password is needed.
 */
export async function initializeCluster(options: PostgresServerOptions): Promise<void> {
  const { binaries, dataDirectory, runAs } = options;
  rmSync(dataDirectory, { recursive: true, force: true });
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  if (runAs !== null) chownSync(dataDirectory, runAs.uid, runAs.gid);
  const major = await majorVersion(binaries, runAs);
  const locale =
    major >= 17
      ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
      : ["--locale=C.UTF-8"];
  await run(
    binaries.initdb,
    [
      `--pgdata=${dataDirectory}`,
      `--username=${superuser}`,
      "--encoding=UTF8",
      ...locale,
      "--auth-local=trust",
      "--auth-host=scram-sha-256",
      "--no-sync",
      "--no-instructions",
    ],
    options,
  );
}

/**
 * Starts the server on an existing cluster and waits until it answers.
 * @throws StackError with Postgres' own last complaint when it does not come up within 30 s.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const { binaries, dataDirectory, socketDirectory, port, runAs, reaper } = options;
  mkdirSync(socketDirectory, { recursive: true, mode: 0o700 });
  if (runAs !== null) chownSync(socketDirectory, runAs.uid, runAs.gid);
  const log = openSync(options.logFile, "w");
  const child = spawn(
    binaries.postgres,
    ["-D", dataDirectory, ...serverSettings(binaries, socketDirectory, port)],
    {
      ...(runAs === null ? {} : { uid: runAs.uid, gid: runAs.gid }),
      cwd: dataDirectory,
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
      stdio: ["ignore", log, log],
      // A group of its own: a Ctrl-C in the terminal reaches the stack, which then stops the server in order.
      detached: true,
    },
  );
  closeSync(log);
  const pid = await started(child, binaries.postgres);
  reaper.watch(pid, ["SIGINT", "SIGQUIT"]);
  let stopping = false;
  const ended = new Promise<void>((resolve) =>
    child.once("exit", () => {
      reaper.forget(pid);
      resolve();
      if (!stopping) options.onCrash(`Postgres ended by itself: ${lastComplaint(options.logFile)}`);
    }),
  );
  const server: PostgresServer = {
    socketDirectory,
    port,
    stop: async () => {
      stopping = true;
      child.kill("SIGINT"); // fast shutdown: open sessions are ended
      const slow = setTimeout(() => child.kill("SIGQUIT"), 8000);
      await ended;
      clearTimeout(slow);
    },
  };
  try {
    await untilItAnswers(server, child, options.logFile);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Logs in through the private socket, as any role and without a password. */
export function connect(
  server: Pick<PostgresServer, "socketDirectory" | "port">,
  login: {
    user: string;
    database?: string;
    applicationName?: string;
    max?: number;
    options?: Record<string, string>;
  },
): postgres.Sql {
  return postgres({
    host: server.socketDirectory,
    port: server.port,
    user: login.user,
    database: login.database ?? "postgres",
    max: login.max ?? 1,
    onnotice: () => {},
    connect_timeout: 10,
    connection: { application_name: login.applicationName ?? "stack", ...login.options },
  });
}

/**
 * Programs that the server's user can reach: where they lie under a directory that is closed to it (a checkout in root's
 * home), they are copied once into `home`.
 */
export function reachableBinaries(
  binaries: PostgresBinaries,
  runAs: RunAs | null,
  home: string,
): PostgresBinaries {
  const bin = dirname(binaries.postgres);
  if (runAs === null || canReach(bin, runAs)) return binaries;
  const from = dirname(bin);
  const copy = join(home, "postgres");
  if (!existsSync(join(copy, "bin", "postgres")))
    cpSync(from, copy, { recursive: true, verbatimSymlinks: true });
  const moved = (path: string): string => join(copy, path.slice(from.length));
  return {
    initdb: moved(binaries.initdb),
    postgres: moved(binaries.postgres),
    modules: moved(binaries.modules),
  };
}

/** The last FATAL, PANIC or ERROR line that Postgres logged, else its last line. */
function lastComplaint(logFile: string): string {
  if (!existsSync(logFile)) return "its log is gone";
  const lines = readFileSync(logFile, "utf8").trim().split("\n");
  return lines.findLast((line) => /FATAL|PANIC|ERROR/.test(line)) ?? lines.at(-1) ?? "it logged nothing";
}

function serverSettings(binaries: PostgresBinaries, socketDirectory: string, port: number): string[] {
  const preloaded = ["pg_stat_statements", "pg_cron"].filter((module) => hasModule(binaries, module));
  const settings: Record<string, string | number> = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: socketDirectory,
    unix_socket_permissions: "0700",
    shared_preload_libraries: preloaded.join(","),
    // As on Supabase's image.
    wal_level: "logical",
    max_connections: 100,
    max_replication_slots: 5,
    max_wal_senders: 10,
    max_slot_wal_keep_size: "4096MB",
    // Postgres' own default is none; a team that turned them on can leave one behind, which a check looks for.
    max_prepared_transactions: 5,
    // The data is a demo: a power cut may cost it, and the next start then makes it anew.
    fsync: "off",
    full_page_writes: "off",
    logging_collector: "off",
    timezone: "UTC",
    log_timezone: "UTC",
  };
  if (preloaded.includes("pg_cron")) {
    settings["cron.database_name"] = "postgres";
    settings["cron.host"] = socketDirectory;
  }
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function untilItAnswers(server: PostgresServer, child: ChildProcess, logFile: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new StackError(`Postgres did not start: ${lastComplaint(logFile)}`, `Its log is ${logFile}.`);
    }
    const sql = connect(server, { user: superuser, database: "template1", applicationName: "stack start" });
    try {
      await sql`select 1`;
      return;
    } catch (cause) {
      if (Date.now() > deadline) {
        throw new StackError(
          `Postgres did not answer within 30 s: ${messageOf(cause)}`,
          `Its log is ${logFile}.`,
          { cause },
        );
      }
    } finally {
      await sql.end({ timeout: 1 });
    }
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

async function majorVersion(binaries: PostgresBinaries, runAs: RunAs | null): Promise<number> {
  const text = await run(binaries.postgres, ["--version"], { runAs });
  const major = Number(/\) (\d+)/.exec(text)?.[1]);
  if (!Number.isInteger(major))
    throw new StackError(`${binaries.postgres} does not say its version: "${text.trim()}".`);
  return major;
}

/** Runs a program to its end and returns what it printed. */
async function run(program: string, args: string[], options: { runAs: RunAs | null }): Promise<string> {
  const { runAs } = options;
  const child = spawn(program, args, {
    ...(runAs === null ? {} : { uid: runAs.uid, gid: runAs.gid }),
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await started(child, program);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0)
    throw new StackError(`${program} failed: ${output.trim().split("\n").at(-1) ?? `exit code ${code}`}`);
  return output;
}

function started(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new StackError(`${program} could not be started: ${messageOf(cause)}`, undefined, { cause })),
    );
    child.once("spawn", () => resolve(child.pid ?? 0));
  });
}
