import { rmSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { copyProject, type ProjectCopy, processesOf } from "./project-copy.ts";
import { launchStack, type StackProcess } from "./stack-process.ts";

/** What the stack prints last when it is up. */
export const ready = "Ready after";

/** A copy of the project, and the stacks that a test launches from it. */
export interface StackKit {
  copy: ProjectCopy;
  /** Starts the stack of a copy on free ports, or on the ports and with the settings that are given. */
  launch(env?: Record<string, string>, directory?: string): Promise<StackProcess>;
  /** Runs a statement on the database of the stack that was launched last. */
  ask(statement: string): Promise<postgres.Row[]>;
  /** API port of the stack that was launched last. */
  port(): number;
  /** Kills what a test left running; for `afterEach`. */
  killAll(): Promise<void>;
  /** Waits until nothing of the copy runs and removes it; for `afterAll`. */
  dispose(): Promise<void>;
}

/** Makes a copy of the project to work with. @param name tells the copies of two test files apart. */
export function createStackKit(root: string, name: string): StackKit {
  const parent = join(root, ".stack", `temporary-${process.pid}-${name}`);
  const copy = copyProject(root, parent);
  let launched: StackProcess[] = [];
  let port = 0;
  return {
    copy,
    launch: async (env = {}, directory = copy.directory) => {
      port = (await findFreePorts()).api;
      const stack = launchStack(directory, { STACK_PORT: String(port), ...env });
      launched.push(stack);
      return stack;
    },
    ask: async (statement) => {
      const url = `postgresql://postgres:postgres@127.0.0.1:${port + 1}/postgres`;
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      try {
        return [...(await sql.unsafe(statement))];
      } finally {
        await sql.end();
      }
    },
    port: () => port,
    killAll: async () => {
      for (const { child, ended } of launched) {
        child.kill("SIGKILL");
        await ended;
      }
      launched = [];
    },
    dispose: async () => {
      await untilNothingRuns(copy.directory);
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

/**
 * Waits until no process of the directory runs any more; the reaper may take a moment.
 * @throws Error that lists what still runs after a minute.
 */
export async function untilNothingRuns(directory: string): Promise<void> {
  for (const begun = Date.now(); ; await new Promise((wake) => setTimeout(wake, 50))) {
    const left = processesOf(directory);
    if (left.length === 0) return;
    if (Date.now() - begun > 60_000) throw new Error(`still running:\n${left.join("\n")}`);
  }
}
