import { expect, test } from "vitest";
import { EnvironmentError, readEnvironment } from "./env.ts";

const given = {
  SUPABASE_URL: "http://127.0.0.1:54321/",
  SUPABASE_DB_URL: "postgresql://postgres:postgres@127.0.0.1:54322/postgres",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_x"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x","ci":"sb_secret_y"}',
  SUPABASE_JWKS: '{"keys":[{"kty":"EC","kid":"k1"}]}',
};

test("the environment is read, the slash at the end of the URL removed", () => {
  expect(readEnvironment(given)).toEqual({
    supabaseUrl: "http://127.0.0.1:54321",
    databaseUrl: given.SUPABASE_DB_URL,
    publishableKeys: { default: "sb_publishable_x" },
    secretKeys: { default: "sb_secret_x", ci: "sb_secret_y" },
    jwks: { keys: [{ kty: "EC", kid: "k1" }] },
    executionId: undefined,
  });
});

test("RUNBOOK_DB_URL comes before SUPABASE_DB_URL unless it is empty", () => {
  const pooler = "postgres://postgres.ref:secret@pooler:6543/postgres";
  expect(readEnvironment({ ...given, RUNBOOK_DB_URL: pooler }).databaseUrl).toBe(pooler);
  expect(readEnvironment({ ...given, RUNBOOK_DB_URL: "" }).databaseUrl).toBe(given.SUPABASE_DB_URL);
});

test("the Management API is known by its token, and the project by its host", () => {
  const hosted = { ...given, SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co" };
  expect(readEnvironment(hosted).management).toBeUndefined();
  expect(readEnvironment({ ...hosted, RUNBOOK_MANAGEMENT_TOKEN: "sbp_x" }).management).toEqual({
    url: "https://api.supabase.com",
    token: "sbp_x",
    projectRef: "abcdefghijklmnopqrst",
  });
  const elsewhere = {
    ...given,
    RUNBOOK_MANAGEMENT_TOKEN: "sbp_x",
    RUNBOOK_MANAGEMENT_URL: "http://127.0.0.1:1234/",
    RUNBOOK_PROJECT_REF: "tsrqponmlkjihgfedcba",
  };
  expect(readEnvironment(elsewhere).management).toEqual({
    url: "http://127.0.0.1:1234",
    token: "sbp_x",
    projectRef: "tsrqponmlkjihgfedcba",
  });
});

test("without keys nobody is let in", () => {
  const { SUPABASE_URL, SUPABASE_DB_URL } = given;
  const environment = readEnvironment({ SUPABASE_URL, SUPABASE_DB_URL });
  expect(environment.secretKeys).toEqual({});
  expect(environment.jwks).toEqual({ keys: [] });
});

test.each([
  [{ SUPABASE_URL: undefined }, "SUPABASE_URL"],
  [{ SUPABASE_DB_URL: undefined }, "SUPABASE_DB_URL"],
  [{ SUPABASE_DB_URL: "mysql://hidden" }, "SUPABASE_DB_URL"],
  [{ SUPABASE_SECRET_KEYS: "hidden" }, "SUPABASE_SECRET_KEYS"],
  [{ SUPABASE_SECRET_KEYS: '{"default":""}' }, "SUPABASE_SECRET_KEYS"],
  [{ SUPABASE_JWKS: '["hidden"]' }, "SUPABASE_JWKS"],
  [{ RUNBOOK_MANAGEMENT_TOKEN: "hidden" }, "RUNBOOK_PROJECT_REF"],
  [{ RUNBOOK_PROJECT_REF: "../hidden" }, "RUNBOOK_PROJECT_REF"],
  [{ RUNBOOK_MANAGEMENT_URL: "http://hidden.example" }, "RUNBOOK_MANAGEMENT_URL"],
  [{ RUNBOOK_MANAGEMENT_URL: "http://localhost.hidden.example" }, "RUNBOOK_MANAGEMENT_URL"],
])("a variable with a problem is named, its value is not: %j", (change, variable) => {
  const read = (): unknown => readEnvironment({ ...given, ...change });
  expect(read).toThrow(EnvironmentError);
  expect(read).toThrow(variable);
  expect(read).not.toThrow("hidden");
});
