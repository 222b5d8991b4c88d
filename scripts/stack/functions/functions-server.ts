import { spawn } from "node:child_process";
import { createWriteStream, existsSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parse } from "smol-toml";
import { z } from "zod";
import { findDeno } from "../binaries.ts";
import type { Reaper } from "../reaper.ts";
import { messageOf, StackError } from "../stack-error.ts";

/** The project's edge functions, served by Deno. */
export interface FunctionsServer {
  /** Whether the project has a function of this name and config.toml does not switch it off. */
  has(name: string): boolean;
  /** The loopback port that serves the function; starts its worker at the first call. @throws BootError */
  portOf(name: string): Promise<number>;
  /** Forgets where the function listens, after it could not be reached. */
  forget(name: string): void;
  /** Ends the function's worker, so that its next request is a cold start. */
  unload(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** A function whose module could not be loaded; the cause stands in the functions' log. */
export class BootError extends Error {
  override readonly name = "BootError";
}

const config = z.object({
  functions: z
    .record(
      z.string(),
      z.object({ enabled: z.boolean().default(true), verify_jwt: z.boolean().default(true) }),
    )
    .default({}),
});

/** Options of {@link startFunctions}. */
export interface FunctionsOptions {
  /** The project; functions lie in `supabase/functions`. */
  root: string;
  /** Functions that are no part of the project, by name, such as the benchmark's empty one: the file of each. */
  extra: Record<string, string>;
  /** What the platform injects into functions, and nothing else of the stack's environment. */
  env: Record<string, string>;
  logFile: string;
  reaper: Reaper;
  report(line: string): void;
}

/** Starts Deno on the functions of the project. A changed file restarts it. */
export async function startFunctions(options: FunctionsOptions): Promise<FunctionsServer> {
  const folder = join(options.root, "supabase", "functions");
  const declared = readConfig(join(options.root, "supabase", "config.toml"));
  const entryOf = (name: string): string => options.extra[name] ?? join(folder, name, "index.ts");
  let host = await startHost(options);
  const ports = new Map<string, Promise<number>>();
  let stopped = false;
  let restarting: Promise<void> = Promise.resolve();
  const restart = (why: string): void => {
    if (stopped) return;
    ports.clear();
    // A restart that failed, for a file that was broken, must not be the last one.
    restarting = restarting
      .catch(() => {})
      .then(async () => {
        await host.stop();
        if (stopped) return;
        host = await startHost(options);
        options.report(`functions restarted: ${why}`);
      });
    restarting.catch((error: unknown) =>
      options.report(`functions could not be restarted: ${messageOf(error)}`),
    );
  };
  let changed: NodeJS.Timeout | undefined;
  const watcher = watch(folder, { recursive: true }, (_event, file) => {
    if (file === null || !file.endsWith(".ts") || file.endsWith(".test.ts")) return;
    clearTimeout(changed);
    changed = setTimeout(() => restart(`${file} changed`), 150);
  });
  watcher.on("error", (error) => options.report(`changes of functions are not watched: ${error.message}`));
  const portOf = async (name: string): Promise<number> => {
    await restarting;
    if (host.hasEnded()) {
      restart("Deno had ended");
      await restarting;
    }
    const answer = await fetch(
      `http://127.0.0.1:${host.port}/${name}?entry=${encodeURIComponent(entryOf(name))}`,
    );
    const result = z
      .union([z.object({ port: z.number() }), z.object({ error: z.string() })])
      .parse(await answer.json());
    if ("error" in result) throw new BootError(result.error);
    return result.port;
  };
  return {
    has: (name) => declared[name]?.enabled !== false && !name.startsWith("_") && existsSync(entryOf(name)),
    portOf: (name) => {
      const known = ports.get(name);
      if (known !== undefined) return known;
      const asked = portOf(name);
      ports.set(name, asked);
      asked.catch(() => ports.delete(name));
      return asked;
    },
    forget: (name) => ports.delete(name),
    unload: async (name) => {
      ports.delete(name);
      await fetch(`http://127.0.0.1:${host.port}/${name}`, { method: "DELETE" });
    },
    stop: async () => {
      stopped = true;
      clearTimeout(changed);
      watcher.close();
      await restarting.catch(() => {});
      await host.stop();
    },
  };
}

function readConfig(file: string): z.infer<typeof config>["functions"] {
  const parsed = config.safeParse(parse(readFileSync(file, "utf8")));
  if (!parsed.success)
    throw new StackError(`${file} has a [functions] block that cannot be read: ${parsed.error.message}`);
  for (const [name, block] of Object.entries(parsed.data.functions)) {
    if (block.verify_jwt) {
      throw new StackError(
        `[functions.${name}] in config.toml lets the platform verify JWTs, which the stack does not imitate.`,
        "Set verify_jwt = false: the functions verify their callers themselves.",
      );
    }
  }
  return parsed.data.functions;
}

interface Host {
  port: number;
  hasEnded(): boolean;
  stop(): Promise<void>;
}

async function startHost(options: FunctionsOptions): Promise<Host> {
  const child = spawn(
    findDeno(),
    [
      "run",
      "--quiet",
      "--no-lock",
      "--cached-only",
      `--config=${join(options.root, "deno.json")}`,
      "--unstable-worker-options",
      "--allow-net",
      "--allow-env",
      "--allow-sys",
      `--allow-read=${options.root}`,
      join(import.meta.dirname, "functions-host.deno.ts"),
    ],
    {
      cwd: options.root,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: process.env["HOME"] ?? "/tmp",
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        ...options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    },
  );
  const log = createWriteStream(options.logFile, { flags: "a" });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    const lines = createInterface({ input: child.stdout });
    lines.once("line", (line) => resolve(z.object({ port: z.number() }).parse(JSON.parse(line)).port));
    lines.on("line", (line) => log.write(`${line}\n`));
    child.once("error", (cause) =>
      reject(new StackError(`Deno could not be started: ${messageOf(cause)}`, undefined, { cause })),
    );
    child.once("close", (code) =>
      reject(new StackError(`Deno ended at once with exit code ${code}.`, `Its log is ${options.logFile}.`)),
    );
    if (child.pid !== undefined) options.reaper.watch(child.pid, ["SIGTERM"]);
  });
  const pid = child.pid ?? 0;
  void ended.then(() => options.reaper.forget(pid));
  return {
    port,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    stop: async () => {
      child.kill("SIGTERM");
      const slow = setTimeout(() => child.kill("SIGKILL"), 2000);
      await ended;
      clearTimeout(slow);
    },
  };
}
