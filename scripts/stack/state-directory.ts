import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StackError } from "./stack-error.ts";

/** The directory that belongs to one stack: its data, keys, logs and the `env` file. */
export interface StateDirectory {
  readonly path: string;
  file(name: string): string;
  release(): void;
}

/**
 * Takes a directory for this process. A lock file with the pid keeps a second stack out; a lock whose process is
 * gone (kill -9) is taken over.
 * @throws StackError when another stack runs in it.
 */
export function takeStateDirectory(path: string): StateDirectory {
  mkdirSync(join(path, "log"), { recursive: true, mode: 0o755 });
  const lock = join(path, "lock");
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      const holder = Number(readFileSync(lock, "utf8"));
      if (isAlive(holder) && holder !== process.pid) {
        throw new StackError(
          `Another stack runs in this folder already (process ${holder}).`,
          `Use it (its addresses stand in ${join(path, "env")}), or stop it with: kill ${holder}`,
        );
      }
      rmSync(lock, { force: true });
    }
  }
  return {
    path,
    file: (name) => join(path, name),
    release: () => rmSync(lock, { force: true }),
  };
}

/** Removes the directories of temporary stacks (`temporary-<pid>-…`) whose process is gone. */
export function removeAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = /^temporary-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(parent, name), { recursive: true, force: true });
  }
}

/** Whether a process with this pid runs, ours or another user's. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
