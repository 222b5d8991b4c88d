import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { allowedDifferences } from "../../scripts/stack/platform/allowed-differences.ts";
import {
  compareFacts,
  judgeDifferences,
  readEnvironment,
} from "../../scripts/stack/platform/compare-facts.ts";
import { readFacts } from "../../scripts/stack/platform/read-facts.ts";

const sql = postgres({
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  user: "supabase_admin",
  database: "postgres",
  max: 1,
});

afterAll(async () => await sql.end());

const environment = await readEnvironment(sql);
const differences = await compareFacts(sql, await readFacts(environment.serverMajor));
const verdict = judgeDifferences(differences, allowedDifferences, environment);

test("every fact about the platform holds, but for the allowed differences", () => {
  expect(verdict.unexpected).toEqual([]);
});

test("every allowed difference is there", () => {
  expect(verdict.stale).toEqual([]);
});
