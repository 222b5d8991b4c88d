import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Peer, PeerCommand, Target } from "./peer.ts";
import { runProgram } from "./run-program.ts";

/** `supabase inspect db`, the subcommands that are not deprecated. */
export const supabaseInspect: Peer = {
  name: "inspect",
  title: "supabase inspect db",
  run: (target) =>
    runCommands(
      target,
      [
        "db-stats",
        "replication-slots",
        "locks",
        "blocking",
        "outliers",
        "calls",
        "index-stats",
        "long-running-queries",
        "bloat",
        "vacuum-stats",
        "table-stats",
      ].map((name) => ({ name, args: ["inspect", "db", name] })),
    ),
};

/** `supabase db advisors`, both kinds, at the level that tells most. */
export const supabaseAdvisors: Peer = {
  name: "advisors",
  title: "supabase db advisors",
  run: (target) =>
    runCommands(
      target,
      ["performance", "security"].map((name) => ({
        name,
        args: ["db", "advisors", "--type", name, "--level", "info"],
      })),
    ),
};

async function runCommands(
  { root, url, path, limitMs }: Target,
  commands: readonly { name: string; args: string[] }[],
): Promise<PeerCommand[] | null> {
  const program = join(root, "node_modules", ".bin", "supabase");
  if (!existsSync(program)) return null;
  const results: PeerCommand[] = [];
  for (const { name, args } of commands) {
    const result = await runProgram(program, [...args, `--remote=${url}`, "--output-format", "json"], {
      limitMs,
      env: {
        PATH: path,
        // Where it keeps what it knows about itself; not in the project.
        HOME: tmpdir(),
        SUPABASE_TELEMETRY_DISABLED: "1",
        DO_NOT_TRACK: "1",
      },
    });
    results.push({ name, ...result });
  }
  return results;
}
