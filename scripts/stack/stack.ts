import { readFileSync, writeFileSync } from "node:fs";
import postgres from "postgres";
import { parse } from "smol-toml";
import { z } from "zod";
import { loadKeys, type StackKeys } from "./api-keys.ts";
import { createAuthServer } from "./auth/auth-server.ts";
import { publicJwks } from "./auth/signing-key.ts";
import { openEmbeddedDatabase, openGivenDatabase, type StackDatabase } from "./database.ts";
import { demoTokens } from "./demo-tokens.ts";
import { startCronScheduler } from "./extensions/cron-scheduler.ts";
import { startNetWorker } from "./extensions/net-worker.ts";
import { type FunctionsServer, startFunctions } from "./functions/functions-server.ts";
import { startGateway } from "./gateway.ts";
import { createManagementServer, type Disk, type ManagementServer } from "./management.ts";
import { mustBeFree, type StackPorts } from "./ports.ts";
import { connect, type PostgresServer } from "./postgres-server.ts";
import type { Progress } from "./progress.ts";
import { startReaper } from "./reaper.ts";
import { startReceiver } from "./receiver.ts";
import type { StackSettings } from "./settings.ts";
import { messageOf, StackError } from "./stack-error.ts";
import { takeStateDirectory } from "./state-directory.ts";

/** Options of {@link startStack}. */
export interface StackOptions {
  /** The project's directory. */
  root: string;
  /** Belongs to this stack alone: data, keys, logs and the `env` file. */
  stateDirectory: string;
  /** The state directory is removed when the stack ends, however it ends. */
  temporary: boolean;
  ports: StackPorts;
  settings: StackSettings;
  pgtap: boolean;
  /** Functions beside the project's own, by name: the file of each. */
  extraFunctions?: Record<string, string>;
  progress: Progress;
  /** Called once when a part of the stack ends by itself; the stack should then be stopped. */
  onCrash(sentence: string): void;
}

/** A running stack. */
export interface Stack {
  /** Base of the API, for example `http://127.0.0.1:54321`. */
  url: string;
  databaseUrl: string;
  receiverUrl: string;
  keys: StackKeys;
  /** What stands in the `env` file. */
  env: Record<string, string>;
  envFile: string;
  /** Private socket and port of the embedded server; null for a given database. */
  socket: { directory: string; port: number } | null;
  functions: FunctionsServer;
  /** Where the functions write their log lines. */
  functionsLog: string;
  stop(): Promise<void>;
}

/** Brings up the whole stack; on a failure everything that was started is stopped again. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { settings, ports, progress, root } = options;
  await mustBeFree({
    "API gateway": ports.api,
    receiver: ports.receiver,
    ...(settings.databaseUrl === undefined ? { database: ports.database } : {}),
  });
  const state = takeStateDirectory(options.stateDirectory);
  const reaper = startReaper();
  if (options.temporary) reaper.removeDirectory(state.path);
  /** What to undo, newest first. */
  const cleanups: (() => Promise<void>)[] = [async () => state.release(), () => reaper.close()];
  const stop = async (): Promise<void> => {
    while (cleanups.length > 0) {
      const cleanup = cleanups.pop();
      await cleanup?.().catch((error: unknown) => progress.say(`While stopping: ${messageOf(error)}`));
    }
  };
  const started = <T extends { stop(): Promise<void> }>(part: T): T => {
    cleanups.push(() => part.stop());
    return part;
  };
  try {
    const keys = await loadKeys(state.file("keys.json"));
    if (settings.auth !== undefined)
      Object.assign(keys, {
        publishableKey: settings.auth.publishableKey,
        secretKey: settings.auth.secretKey,
      });
    const database = started(
      settings.databaseUrl === undefined
        ? await openEmbeddedDatabase({
            root,
            state,
            port: ports.database,
            postgresBin: settings.postgresBin,
            temporary: options.temporary,
            pgtap: options.pgtap,
            reaper,
            progress,
            onCrash: options.onCrash,
          })
        : await openGivenDatabase(root, settings.databaseUrl, progress),
    );
    const url = `http://127.0.0.1:${ports.api}`;
    const management = database.server === null ? null : standInManagement(database.server);
    const managementEnv: Record<string, string> =
      management === null
        ? {}
        : {
            RUNBOOK_MANAGEMENT_URL: `${url}/management`,
            RUNBOOK_MANAGEMENT_TOKEN: management.token,
            RUNBOOK_PROJECT_REF: management.projectRef,
          };
    const services = await progress.step("Auth, gateway, functions", async () => {
      const receiver = started(await startReceiver(ports.receiver, progress.say));
      const receiverUrl = `http://127.0.0.1:${receiver.port}`;
      const jwks =
        settings.auth === undefined ? publicJwks(keys.signingKey) : await fetchJwks(settings.auth.url);
      const functions = started(
        await startFunctions({
          root,
          extra: options.extraFunctions ?? {},
          logFile: state.file("log/functions.log"),
          reaper,
          report: progress.say,
          env: {
            SUPABASE_URL: url,
            SUPABASE_DB_URL: database.url,
            SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
            SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
            SUPABASE_JWKS: JSON.stringify(jwks),
            SB_REGION: "local",
            RUNBOOK_RECEIVER_URL: receiverUrl,
            ...managementEnv,
          },
        }),
      );
      const auth =
        settings.auth === undefined
          ? standInAuth(options, database, keys, url, receiver.keepMail, started)
          : proxyTo(settings.auth.url);
      started(
        await startGateway({
          port: ports.api,
          keys,
          auth,
          translateKeys: settings.auth === undefined,
          management: management?.fetch ?? null,
          functions,
          exposedSchemas: exposedSchemas(options.root),
          report: progress.say,
        }),
      );
      return { receiverUrl, functions };
    });
    await startBackgroundWorkers(database, progress, started);
    await setFunctionsUrl(database, url);
    const env: Record<string, string> = {
      SUPABASE_URL: url,
      SUPABASE_DB_URL: database.url,
      SUPABASE_PUBLISHABLE_KEY: keys.publishableKey,
      SUPABASE_SECRET_KEY: keys.secretKey,
      RUNBOOK_RECEIVER_URL: services.receiverUrl,
      ...managementEnv,
      SENTRY_WEBHOOK_SECRET: keys.sentryWebhookSecret,
    };
    const envFile = state.file("env");
    const writeTokens = async (): Promise<void> => {
      if (settings.auth === undefined && database.demo)
        Object.assign(env, await demoTokens(url, keys.publishableKey));
      writeEnv(envFile, env);
    };
    await writeTokens();
    // Tokens live for an hour; the file holds ones that still work.
    const renewal = setInterval(() => {
      writeTokens().catch((error: unknown) =>
        progress.say(`The tokens in ${envFile} were not renewed: ${messageOf(error)}`),
      );
    }, 45 * 60_000);
    cleanups.push(async () => clearInterval(renewal));
    return {
      url,
      databaseUrl: database.url,
      receiverUrl: services.receiverUrl,
      keys,
      env,
      envFile,
      socket:
        database.server === null
          ? null
          : { directory: database.server.socketDirectory, port: database.server.port },
      functions: services.functions,
      functionsLog: state.file("log/functions.log"),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Started = <T extends { stop(): Promise<void> }>(part: T) => T;

function standInAuth(
  options: StackOptions,
  database: StackDatabase,
  keys: StackKeys,
  url: string,
  keepMail: (mail: Record<string, unknown>) => void,
  started: Started,
): (request: Request) => Promise<Response> {
  const login = { user: "supabase_auth_admin", applicationName: "auth", max: 10 };
  const sql =
    database.server === null
      ? postgres(database.url, { max: 5, onnotice: () => {}, connection: { application_name: "auth" } })
      : connect(database.server, login);
  started({ stop: () => sql.end({ timeout: 1 }) });
  const passwordSql =
    database.server === null ? sql : connect(database.server, { ...login, user: "postgres", max: 2 });
  if (passwordSql !== sql) started({ stop: () => passwordSql.end({ timeout: 1 }) });
  const server = createAuthServer({
    sql,
    passwordSql,
    url: `${url}/auth/v1`,
    signingKey: keys.signingKey,
    sendMail: async (mail) => keepMail({ ...mail }),
    settings: authSettings(options.root),
  });
  return (request) => server.fetch(request);
}

/** The Management API of a project whose disk is as large as a paid project's first one. */
function standInManagement(server: PostgresServer): ManagementServer {
  return createManagementServer({
    measureDisk: async (): Promise<Disk> => {
      const sql = connect(server, { user: "postgres", applicationName: "management", max: 1 });
      try {
        const [row] = await sql`
          select
            (select sum(pg_database_size(dat.oid)) from pg_catalog.pg_database as dat)
            + (select sum(wal.size) from pg_ls_waldir() as wal) as bytes`;
        // The system's own files are some 200 MB.
        return { sizeBytes: 8 * 1024 ** 3, usedBytes: Number(row?.["bytes"]) + 200 * 1024 ** 2 };
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
  });
}

/** What config.toml says about Auth, in the stand-in's terms. */
function authSettings(root: string): { passwordHook?: string } {
  const config = z
    .object({
      auth: z.object({
        hook: z
          .object({
            password_verification_attempt: z.object({ enabled: z.boolean(), uri: z.string() }).optional(),
          })
          .optional(),
      }),
    })
    .parse(parse(readFileSync(`${root}/supabase/config.toml`, "utf8")));
  const hook = config.auth.hook?.password_verification_attempt;
  if (hook === undefined || !hook.enabled) return {};
  const [schema, name] = new URL(hook.uri).pathname.split("/").filter((part) => part !== "");
  return { passwordHook: `${schema ?? "public"}.${name ?? ""}` };
}

/** The schemas that config.toml lets the Data API serve; without a word of it those that the CLI has by default. */
function exposedSchemas(root: string): string[] {
  return z
    .object({
      api: z.object({ schemas: z.array(z.string()) }).default({ schemas: ["public", "graphql_public"] }),
    })
    .parse(parse(readFileSync(`${root}/supabase/config.toml`, "utf8"))).api.schemas;
}

function proxyTo(target: string): (request: Request) => Promise<Response> {
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.method === "GET" || request.method === "HEAD" ? null : await request.arrayBuffer();
    const answer = await fetch(`${target}${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      body,
      redirect: "manual",
    });
    const headers = new Headers(answer.headers);
    for (const name of ["content-encoding", "content-length", "transfer-encoding", "connection"])
      headers.delete(name);
    return new Response(answer.body, { status: answer.status, headers });
  };
}

async function fetchJwks(authUrl: string): Promise<unknown> {
  try {
    const answer = await fetch(`${authUrl}/.well-known/jwks.json`, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    return z.object({ keys: z.array(z.unknown()) }).parse(await answer.json());
  } catch (cause) {
    throw new StackError(
      `The Auth server of STACK_AUTH_URL did not give its public keys: ${messageOf(cause)}`,
      "It should answer GET …/.well-known/jwks.json; on Supabase the URL ends in /auth/v1.",
      { cause },
    );
  }
}

async function startBackgroundWorkers(
  database: StackDatabase,
  progress: Progress,
  started: Started,
): Promise<void> {
  const { server } = database;
  if (server === null) return;
  const options = {
    connect: (login: { user: string; database: string; applicationName: string }) => connect(server, login),
    report: progress.say,
  };
  if (!database.realCron) started(await startCronScheduler(options));
  if (!database.realNet) started(await startNetWorker(options));
}

/** Tells the database where the tick rings. A given database keeps what it was told before: it may not reach this machine. */
async function setFunctionsUrl(database: StackDatabase, url: string): Promise<void> {
  if (database.server === null) return;
  const sql = connect(database.server, { user: "postgres" });
  try {
    await sql`select runbook.set_functions_url(${url})`;
  } finally {
    await sql.end();
  }
}

function writeEnv(file: string, env: Record<string, string>): void {
  const lines = Object.entries(env).map(([name, value]) => `${name}='${value}'`);
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
}
