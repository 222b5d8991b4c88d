import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf, StackError } from "./stack-error.ts";

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
  // Written beside and then linked, so that a lock is never seen half written.
  const mine = join(path, `lock-${process.pid}`);
  writeFileSync(mine, `${process.pid} ${startOf(process.pid)}`);
  try {
    while (!linkIfAbsent(mine, lock)) refuseOrTakeOver(lock, path);
  } finally {
    rmSync(mine, { force: true });
  }
  return {
    path,
    file: (name) => join(path, name),
    release: () => rmSync(lock, { force: true }),
  };
}

/** @returns false when `target` exists already. */
function linkIfAbsent(file: string, target: string): boolean {
  try {
    linkSync(file, target);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Removes the lock of a process that is gone; its pid may have been given to a stranger since. */
function refuseOrTakeOver(lock: string, path: string): void {
  const [holder = "", started = ""] = (readIfThere(lock) ?? "").split(" ");
  const pid = Number(holder);
  if (isAlive(pid) && startOf(pid) === started) {
    throw new StackError(
      `Another stack runs in this folder already (process ${pid}).`,
      `Use it (its addresses stand in ${join(path, "env")}), or stop it with: kill ${pid}`,
    );
  }
  rmSync(lock, { force: true });
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** When a process began, in clock ticks since boot, where the system tells (Linux); else a constant. */
function startOf(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat === null ? "unknown" : (stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "unknown");
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
