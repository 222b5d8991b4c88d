import { loadModule } from "libpg-query";
import { beforeAll, expect, it } from "vitest";
import { compareVersions } from "./versions.ts";

const packageJson = '{ "version": "0.1.0" }';
const constant = 'export const VERSION = "0.1.0";';
const migration = (version: string, path = "supabase/migrations/2_b.sql") => ({
  path,
  text: `insert into runbook.release (version, migrations) values ('${version}', array['1', '2']);`,
});
const compare = (ts: string, ...migrations: { path: string; text: string }[]): string[] =>
  compareVersions(packageJson, ts, migrations).map((finding) => finding.file);

beforeAll(loadModule);

it("is silent when all three agree, whatever older migrations recorded", () => {
  expect(compare(constant, migration("0.0.9", "supabase/migrations/1_a.sql"), migration("0.1.0"))).toEqual(
    [],
  );
});

it("reports functions of another version", () => {
  expect(compare(constant.replace("0.1.0", "0.2.0"), migration("0.1.0"))).toEqual([
    "supabase/functions/_shared/version.ts",
  ]);
  expect(compare("", migration("0.1.0"))).toEqual(["supabase/functions/_shared/version.ts"]);
});

it("reports a last migration that records another version, or none", () => {
  expect(compare(constant, migration("0.2.0"))).toEqual(["supabase/migrations/2_b.sql"]);
  const none = { path: "supabase/migrations/3_c.sql", text: "select 1;" };
  expect(compare(constant, migration("0.1.0"), none)).toEqual(["supabase/migrations/3_c.sql"]);
});
