import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Ends child processes and removes directories when this process dies without doing it itself, kill -9 included. */
export interface Reaper {
  /** From now on `pid` ends with this process; `signals` from the gentlest on (SIGKILL follows by itself). */
  watch(pid: number, signals: NodeJS.Signals[]): void;
  /** `pid` has ended. */
  forget(pid: number): void;
  /** `directory` is removed with everything in it, however this process ends. */
  removeDirectory(directory: string): void;
  /** Lets the reaper do what is left to it and waits until it has. */
  close(): Promise<void>;
}

/** Starts the reaper as a process in a group of its own, so that a Ctrl-C in the terminal does not reach it. */
export function startReaper(): Reaper {
  const child = spawn(process.execPath, [fileURLToPath(new URL("reaper-process.mjs", import.meta.url))], {
    detached: true,
    stdio: ["pipe", "ignore", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  // A reaper that is gone cannot be told anything; the processes are still stopped by whoever started them.
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  child.unref();
  const tell = (change: Record<string, unknown>): void => {
    child.stdin.write(`${JSON.stringify(change)}\n`);
  };
  return {
    watch: (pid, signals) => tell({ watch: { pid, signals } }),
    forget: (pid) => tell({ forget: pid }),
    removeDirectory: (directory) => tell({ removeDirectory: directory }),
    close: async () => {
      child.ref();
      child.stdin.end();
      await ended;
    },
  };
}
