// The reaper: a process of its own that ends what the stack started when the stack dies without a chance
// to do it (kill -9, a crash, a closed terminal). It reads one JSON line a change from its standard input; the
// end of that input means that the stack is gone. Plain JavaScript, so that it starts in milliseconds.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";

/** @type {Map<number, { pid: number, started: string | null, signals: NodeJS.Signals[] }>} */
const processes = new Map();
/** @type {Set<string>} */
const directories = new Set();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});

for await (const line of createInterface({ input: process.stdin })) {
  const change = JSON.parse(line);
  if (change.watch) processes.set(change.watch.pid, { ...change.watch, started: startOf(change.watch.pid) });
  if (change.forget) processes.delete(change.forget);
  if (change.removeDirectory) directories.add(change.removeDirectory);
  if (change.keepDirectory) directories.delete(change.keepDirectory);
}

// Each process gets its gentlest signal first and four seconds to obey before the next one.
await Promise.all([...processes.values()].reverse().map(end));
for (const directory of directories) rmSync(directory, { recursive: true, force: true });

/** @param {{ pid: number, started: string | null, signals: NodeJS.Signals[] }} entry */
async function end(entry) {
  for (const signal of [...entry.signals, "SIGKILL"]) {
    if (!alive(entry)) return;
    try {
      process.kill(entry.pid, signal);
    } catch {
      return; // it ended between the look and the signal
    }
    for (let waited = 0; waited < 4000 && alive(entry); waited += 50)
      await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** Whether this very process still runs: a pid that was given to another process since is left alone. */
function alive(entry) {
  try {
    process.kill(entry.pid, 0);
  } catch {
    return false;
  }
  return entry.started === startOf(entry.pid);
}

/** The start time of a process in clock ticks since boot, where the system tells (Linux), else null. */
function startOf(pid) {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return null;
  try {
    const stat = readFileSync(file, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "zombie" : (fields[19] ?? null);
  } catch {
    return null;
  }
}
