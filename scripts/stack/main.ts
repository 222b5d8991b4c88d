// `npm start`: brings the stack up, prints the health report and what to try, and stays until Ctrl-C.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { portsFrom } from "./ports.ts";
import { createProgress } from "./progress.ts";
import { readSettings } from "./settings.ts";
import { type Stack, startStack } from "./stack.ts";
import { describeError, messageOf } from "./stack-error.ts";
import { removeAbandoned } from "./state-directory.ts";

const root = join(import.meta.dirname, "..", "..");
const begun = performance.now();
let stack: Stack | undefined;
let ending = false;

/** Stops everything once; the second Ctrl-C does not wait. */
async function end(code: number, sentence?: string): Promise<void> {
  if (ending) process.exit(code === 0 ? 130 : code);
  ending = true;
  if (sentence !== undefined) console.error(sentence);
  if (stack !== undefined) {
    console.log("\nStopping …");
    await stack.stop();
  }
  process.exit(code);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void end(0));
watchAncestors(() => void end(1, "The command that started the stack is gone; the stack stops."));

try {
  const settings = readSettings(process.env);
  if (settings.databaseUrl !== undefined) {
    const { host, pathname } = new URL(settings.databaseUrl);
    console.log(
      [
        `STACK_DATABASE_URL: this will be written to the database ${pathname.slice(1)} at ${host}:`,
        "schema runbook with its roles and pg_cron jobs, the extensions pg_cron and pg_net where they are missing,",
        "and the demo school if auth.users is empty.",
        settings.auth === undefined
          ? "Auth is the stand-in, on that database's auth tables; STACK_AUTH_URL takes the project's own Auth instead.\n"
          : `Auth is the one at ${settings.auth.url}.\n`,
      ].join("\n"),
    );
  }
  console.log("Starting the stack (Ctrl-C stops it)\n");
  const ports = portsFrom(settings.basePort);
  const starting = startStack({
    root,
    stateDirectory: join(root, ".stack"),
    temporary: false,
    ports,
    settings,
    pgtap: false,
    progress: createProgress((line) => console.log(line)),
    onCrash: (sentence) => void end(1, sentence),
  });
  stack = await starting;
  removeAbandoned(join(root, ".stack"));
  console.log(`\n${await healthReport(stack)}`);
  console.log(whatToTry(stack));
} catch (error) {
  console.error(`\n${describeError(error)}`);
  process.exit(1);
}

async function healthReport({ url, keys, functionsLog }: Stack): Promise<string> {
  try {
    const answer = await fetch(`${url}/functions/v1/health-check`, {
      headers: { accept: "text/plain", apikey: keys.secretKey },
      signal: AbortSignal.timeout(20_000),
    });
    return await answer.text();
  } catch (cause) {
    // The stack is of use without the report, above all to find out why there is none.
    return `The health check did not answer: ${messageOf(cause)}\nThe functions' log is ${relative(functionsLog)}.`;
  }
}

function whatToTry({ url, env, envFile }: Stack): string {
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const token =
    env["RUNBOOK_OPERATOR_TOKEN"] === undefined
      ? "apikey: $SUPABASE_SECRET_KEY"
      : "Authorization: Bearer $RUNBOOK_OPERATOR_TOKEN";
  const call = (endpoint: string, body: string): string =>
    `  curl -s $SUPABASE_URL/functions/v1/${endpoint} -H "${token}" \\\n    -H "content-type: application/json" -d '${body}'`;
  return [
    `Ready after ${seconds} s. API ${url} · database ${portOf(env["SUPABASE_DB_URL"])} · messages ${env["RUNBOOK_RECEIVER_URL"]}/requests`,
    "",
    `Three commands to try, in another terminal in this folder, after:  . ${relative(envFile)}`,
    "",
    "Why can this student not sign in?",
    call("diagnose-login", '{"email":"blocked@demo.example"}'),
    "",
    "What would clearing her rate limit change? (Without dry_run, and with a reason, it is cleared.)",
    call("unblock-login", '{"email":"blocked@demo.example","dry_run":true}'),
    "",
    "How is the system?",
    `  curl -s $SUPABASE_URL/functions/v1/health-check -H "apikey: $SUPABASE_SECRET_KEY" -H "Accept: text/plain"`,
    "",
  ].join("\n");
}

function portOf(databaseUrl: string | undefined): string {
  return databaseUrl === undefined ? "" : new URL(databaseUrl).host;
}

function relative(file: string): string {
  return file.startsWith(root) ? `.${file.slice(root.length)}` : file;
}

/**
 * Calls back when npm or the shell that started this process is gone: a kill -9 of npm does not reach its children.
 * Looks at the parent and, where the system tells it, the parent's parent.
 */
function watchAncestors(gone: () => void): void {
  const parent = process.ppid;
  const grandparent = process.env["npm_lifecycle_event"] === undefined ? undefined : parentOf(parent);
  const timer = setInterval(() => {
    const orphaned =
      process.ppid !== parent || (grandparent !== undefined && parentOf(parent) !== grandparent);
    if (!orphaned) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}

/** The parent of a process where /proc tells it (Linux), else undefined. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}
