import type postgres from "postgres";
import { readCatalog } from "./read-catalog.ts";
import { type FactsByTopic, type Topic, topics } from "./read-facts.ts";

/** One object that is not as the facts state it; null where one side does not have it. */
export interface Difference {
  topic: Topic;
  name: string;
  expected: string | null;
  actual: string | null;
}

/** Differences that are known and wanted in some environments, and why. */
export interface Allowance {
  reason: string;
  /** Whether the allowance speaks about the database at hand. */
  applies(environment: Environment): boolean;
  /** Parts of the allowance; each must meet at least one difference, or the allowance is stale. */
  parts: { description: string; covers(difference: Difference): boolean }[];
}

/** What decides which allowances apply. */
export interface Environment {
  serverMajor: number;
  /** Installed versions by extension name; an extension that has a stand-in is not in it. */
  extensionVersions: ReadonlyMap<string, string>;
}

/** The outcome of {@link judgeDifferences}. */
export interface Verdict {
  /** Differences that no allowance covers. */
  unexpected: Difference[];
  /** Parts of allowances that cover nothing. */
  stale: string[];
}

/** Reads the major version of the server and the versions of the installed extensions. */
export async function readEnvironment(sql: postgres.Sql): Promise<Environment> {
  const rows = await sql<{ serverMajor: number; name: string; version: string }[]>`
    select
      current_setting('server_version_num')::integer / 10000 as "serverMajor",
      ext.extname::text as name,
      ext.extversion as version
    from pg_catalog.pg_extension as ext`;
  const serverMajor = rows[0]?.serverMajor;
  if (serverMajor === undefined) throw new Error("The database has no extension at all, not even plpgsql.");
  return { serverMajor, extensionVersions: new Map(rows.map((row) => [row.name, row.version])) };
}

/** Compares a database's catalogs with the facts; the order of rows plays no part. */
export async function compareFacts(sql: postgres.Sql, facts: FactsByTopic): Promise<Difference[]> {
  return await sql.begin("isolation level repeatable read read only", async (transaction) =>
    findDifferences(facts, await readCatalog(transaction, facts)),
  );
}

/** Compares two sets of facts, topic by topic and name by name. */
export function findDifferences(expected: FactsByTopic, actual: FactsByTopic): Difference[] {
  return topics.flatMap((topic) => {
    const expectedValues = valuesByName(expected, topic);
    const actualValues = valuesByName(actual, topic);
    const names = [...new Set([...expectedValues.keys(), ...actualValues.keys()])].sort();
    return names
      .map((name) => ({
        topic,
        name,
        expected: expectedValues.get(name) ?? null,
        actual: actualValues.get(name) ?? null,
      }))
      .filter((difference) => difference.expected !== difference.actual);
  });
}

/** Sorts differences into allowed and unexpected ones, and finds allowances that nothing needs any more. */
export function judgeDifferences(
  differences: readonly Difference[],
  allowances: readonly Allowance[],
  environment: Environment,
): Verdict {
  const applying = allowances.filter((allowance) => allowance.applies(environment));
  const parts = applying.flatMap((allowance) => allowance.parts);
  return {
    unexpected: differences.filter((difference) => !parts.some((part) => part.covers(difference))),
    stale: parts
      .filter((part) => !differences.some((difference) => part.covers(difference)))
      .map((part) => part.description),
  };
}

function valuesByName(facts: FactsByTopic, topic: Topic): Map<string, string> {
  return new Map((facts.get(topic) ?? []).map(({ name, value }) => [name, value]));
}
