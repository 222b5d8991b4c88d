import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findFreePorts } from "../stack/ports.ts";
import type { Progress } from "../stack/progress.ts";
import { readSettings } from "../stack/settings.ts";
import { type Stack, startStack } from "../stack/stack.ts";
import { removeAbandoned } from "../stack/state-directory.ts";

/**
 * Starts a stack of the lab's own on free ports, which is removed when it ends.
 * @param program whose id names the directory, and whose environment may choose Postgres.
 */
export async function startLabStack(
  root: string,
  program: { pid: number; env: NodeJS.ProcessEnv },
  name: string,
  progress: Progress,
): Promise<Stack> {
  const parent = join(root, ".stack");
  mkdirSync(parent, { recursive: true });
  removeAbandoned(parent);
  return startStack({
    root,
    stateDirectory: join(parent, `temporary-${program.pid}-${name}`),
    temporary: true,
    ports: await findFreePorts(),
    settings: { ...readSettings({}), postgresBin: readSettings(program.env).postgresBin },
    pgtap: false,
    progress,
    onCrash: (sentence) => {
      console.error(sentence);
    },
  });
}
