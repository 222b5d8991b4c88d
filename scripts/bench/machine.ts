import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import type postgres from "postgres";
import { findDeno } from "../stack/binaries.ts";

/** What the figures were measured on, as far as the program can read it. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGib: number;
  system: string;
  node: string;
  deno: string;
  postgres: string;
  /** Programs that ran or waited for a core on average over the last minute, this one and its stack included. */
  load: number;
}

/** Reads the machine. `sql` is any login on the measured database. */
export async function readMachine(sql: postgres.Sql): Promise<Machine> {
  const [server] = await sql<
    { version: string }[]
  >`select pg_catalog.current_setting('server_version') as version`;
  const deno = execFileSync(findDeno(), ["--version"], { encoding: "utf8" });
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    deno: /^deno (\S+)/.exec(deno)?.[1] ?? "unknown",
    postgres: server?.version ?? "unknown",
    load: loadavg()[0] ?? 0,
  };
}
