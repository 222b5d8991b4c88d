import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

/** `npm start` as a process of its own. */
export interface StackProcess {
  child: ChildProcess;
  /** What it has printed so far, both streams. */
  output(): string;
  /** Resolves when the output holds `text`; rejects when the process ends before. */
  until(text: string): Promise<void>;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | string>;
}

/** Starts the stack of a project (as `npm start` does, without npm) with more environment. */
export function launchStack(
  directory: string,
  env: Record<string, string>,
  user?: { uid: number; gid: number; home: string },
): StackProcess {
  const child = spawn(process.execPath, [join("scripts", "run.mjs"), join("scripts", "stack", "main.ts")], {
    cwd: directory,
    env: {
      ...cleanEnvironment(),
      ...(user === undefined ? {} : { HOME: user.home, DENO_DIR: join(user.home, "deno") }),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
  let text = "";
  const waiting: (() => void)[] = [];
  const collect = (chunk: Buffer): void => {
    text += chunk.toString();
    for (const look of waiting) look();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  return {
    child,
    output: () => text,
    ended,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (text.includes(wanted)) resolve();
        };
        waiting.push(look);
        look();
        void ended.then((how) =>
          reject(new Error(`the stack ended (${how}) before it printed "${wanted}":\n${text}`)),
        );
      }),
  };
}

/** This process' environment without what steers a stack or tells of the test runner. */
function cleanEnvironment(): Record<string, string | undefined> {
  const { STACK_PORT, STACK_DATABASE_URL, STACK_AUTH_URL, npm_lifecycle_event, VITEST, ...rest } =
    process.env;
  return rest;
}
