import { expect, it } from "vitest";
import { readSettings } from "./settings.ts";

it("uses the ports of supabase start and the embedded parts by default", () => {
  expect(readSettings({})).toEqual({
    basePort: 54321,
    databaseUrl: undefined,
    auth: undefined,
    postgresBin: undefined,
  });
});

it("counts an empty variable as absent", () => {
  expect(readSettings({ STACK_PORT: "", STACK_DATABASE_URL: "" }).basePort).toBe(54321);
});

it("takes a real Auth server only with its two keys", () => {
  const url = "https://project.example/auth/v1/";
  expect(() => readSettings({ STACK_AUTH_URL: url })).toThrow(
    "STACK_PUBLISHABLE_KEY or STACK_SECRET_KEY is not",
  );
  expect(
    readSettings({ STACK_AUTH_URL: url, STACK_PUBLISHABLE_KEY: "p", STACK_SECRET_KEY: "s" }).auth,
  ).toEqual({
    url: "https://project.example/auth/v1",
    publishableKey: "p",
    secretKey: "s",
  });
});

it.each([
  ["STACK_PORT", "80"],
  ["STACK_PORT", "65535"],
  ["STACK_PORT", "54321.5"],
  ["STACK_DATABASE_URL", "http://localhost/postgres"],
  ["STACK_AUTH_URL", "auth.example"],
])("refuses %s=%s and names it", (name, value) => {
  expect(() => readSettings({ [name]: value })).toThrow(name);
});
