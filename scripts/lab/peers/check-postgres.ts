import type { Peer, PeerCommand } from "./peer.ts";
import { runProgram } from "./run-program.ts";

/** As their documentation suggests where a default is missing. */
const actions: readonly { name: string; args: string[] }[] = [
  { name: "backends", args: [] },
  { name: "bloat", args: ["--warning=70%", "--critical=90%"] },
  { name: "sequence", args: ["--warning=85%", "--critical=95%"] },
  { name: "replication_slots", args: ["--warning=10MB", "--critical=1GB"] },
  { name: "prepared_txns", args: ["--warning=1", "--critical=30"] },
  { name: "txn_idle", args: ["--warning=1", "--critical=30"] },
  { name: "txn_time", args: ["--warning=1", "--critical=30"] },
  { name: "query_time", args: ["--warning=5", "--critical=30"] },
  { name: "locks", args: ["--warning=100", "--critical=200"] },
  { name: "txn_wraparound", args: [] },
  { name: "autovac_freeze", args: [] },
];

/** Debian's `check_postgres`; its `perf` output is part of what it prints. */
export const checkPostgres: Peer = {
  name: "check_postgres",
  title: "check_postgres",
  run: async ({ url, path, limitMs }) => {
    const { hostname, port, username, password, pathname } = new URL(url);
    const results: PeerCommand[] = [];
    for (const { name, args } of actions) {
      try {
        const result = await runProgram(
          "check_postgres",
          [
            `--action=${name}`,
            `--host=${hostname}`,
            `--port=${port}`,
            `--dbuser=${username}`,
            `--dbpass=${password}`,
            `--dbname=${pathname.slice(1)}`,
            "--verbose",
            ...args,
          ],
          { limitMs, env: { PATH: path } },
        );
        results.push({ name, ...result });
      } catch {
        return null; // not installed
      }
    }
    return results;
  },
};
