import type { Allowance, Difference, Environment } from "./compare-facts.ts";
import type { Topic } from "./read-facts.ts";

/** Where a database of the stack differs from the facts about the platform, and why that is right or unavoidable. */
export const allowedDifferences: readonly Allowance[] = [
  {
    reason:
      "safeupdate comes neither from npm nor from Debian, and a library that is missing makes every login fail.",
    applies: () => true,
    parts: [exactly("role-settings", "authenticator session_preload_libraries", "safeupdate", null)],
  },
  {
    reason: "The facts were read off Postgres 15; since 17 all privileges on a table include MAINTAIN.",
    applies: ({ serverMajor }) => serverMajor >= 17,
    parts: [
      withMaintain("default-privileges"),
      withMaintain("auth-table-acls"),
      withMaintain("platform-relation-acls"),
    ],
  },
  {
    reason: "The facts were read off Postgres 15; pg_stat_statements 1.11 renames two columns and adds six.",
    applies: ({ serverMajor }) => serverMajor >= 17,
    parts: [
      statementsColumn("blk_read_time", "double precision", null),
      statementsColumn("blk_write_time", "double precision", null),
      statementsColumn("shared_blk_read_time", null, "double precision"),
      statementsColumn("shared_blk_write_time", null, "double precision"),
      statementsColumn("local_blk_read_time", null, "double precision"),
      statementsColumn("local_blk_write_time", null, "double precision"),
      statementsColumn("jit_deform_count", null, "bigint"),
      statementsColumn("jit_deform_time", null, "double precision"),
      statementsColumn("stats_since", null, "timestamp with time zone"),
      statementsColumn("minmax_stats_since", null, "timestamp with time zone"),
    ],
  },
  {
    reason: "A stand-in of pg_cron is a schema with its objects, not an extension.",
    applies: isStandIn("pg_cron"),
    parts: [exactly("extensions", "pg_cron", "pg_catalog", null)],
  },
  {
    reason: "A stand-in of pg_net is a schema with its objects, not an extension.",
    applies: isStandIn("pg_net"),
    parts: [exactly("extensions", "pg_net", "extensions", null)],
  },
  {
    reason: "A stand-in of Vault is a schema with its objects, not an extension.",
    applies: isStandIn("supabase_vault"),
    parts: [exactly("extensions", "supabase_vault", "vault", null)],
  },
];

/** Covers one difference, spelled out. */
function exactly(topic: Topic, name: string, expected: string | null, actual: string | null) {
  return {
    description: `${topic}: ${name}: ${expected ?? "nothing"} expected, ${actual ?? "nothing"} found`,
    covers: (difference: Difference) =>
      difference.topic === topic &&
      difference.name === name &&
      difference.expected === expected &&
      difference.actual === actual,
  };
}

function statementsColumn(column: string, expected: string | null, actual: string | null) {
  return exactly("platform-columns", `extensions.pg_stat_statements.${column}`, expected, actual);
}

/** Covers grants that differ by MAINTAIN (m) alone, with the same grant option as TRIGGER (t), the last of 15's letters. */
function withMaintain(topic: Topic) {
  return {
    description: `${topic}: privileges with MAINTAIN`,
    covers: ({ topic: itsTopic, expected, actual }: Difference) =>
      itsTopic === topic && expected !== null && expected.replaceAll(/t(\*?)\//g, "t$1m$1/") === actual,
  };
}

function isStandIn(extension: string): Allowance["applies"] {
  return ({ extensionVersions }: Environment) => !extensionVersions.has(extension);
}
