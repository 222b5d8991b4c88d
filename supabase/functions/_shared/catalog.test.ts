import { expect, test } from "vitest";
import { Catalog, findProblems } from "./catalog.ts";

const definition = {
  parameters: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: {
      days: { type: "integer" },
      email: { type: "string", minLength: 1, maxLength: 320, description: "An address." },
      forced: { type: "boolean" },
    },
    required: ["email"],
    additionalProperties: false,
  },
  probes: ["auth_health"],
};
const { parameters } = new Catalog().learn("login", definition);

test("an entry is known once it was learned", () => {
  const catalog = new Catalog();
  expect(catalog.get("login")).toBeUndefined();
  const entry = catalog.learn("login", definition);
  expect(catalog.get("login")).toBe(entry);
  expect(entry.probes).toEqual(["auth_health"]);
});

test("an entry says what it takes, and what of it may be left out", () => {
  const takes = (schema: unknown): string => new Catalog().learn("x", { parameters: schema }).takes;
  expect(takes(definition.parameters)).toBe("It takes email (an address), days?, forced?.");
  expect(takes({ type: "object", additionalProperties: false })).toBe("It takes no parameters.");
});

test.each([null, [], "object", 7])("%j is no JSON Schema", (schema) => {
  expect(() => new Catalog().learn("x", { parameters: schema })).toThrow();
});

test.each([
  [{ email: "a" }, []],
  [{ email: "a", days: 3, forced: false }, []],
  [{}, [{ path: "email", message: "is required" }]],
  [{ email: 1 }, [{ path: "email", message: "must be of type string" }]],
  [{ email: null }, [{ path: "email", message: "must be of type string" }]],
  [{ email: "" }, [{ path: "email", message: "must have at least 1 characters" }]],
  [{ email: "x".repeat(321) }, [{ path: "email", message: "must have at most 320 characters" }]],
  [{ email: "a", days: 1.5 }, [{ path: "days", message: "must be of type integer" }]],
  [
    { email: "a", emial: "b", constructor: 1 },
    [
      { path: "emial", message: "is not a known parameter" },
      { path: "constructor", message: "is not a known parameter" },
    ],
  ],
])("%j has the problems %j", (value, problems) => {
  expect(findProblems(parameters, value)).toEqual(problems);
});

test("__proto__ is a key like any other", () => {
  const value = Object.fromEntries([
    ["email", "a"],
    ["__proto__", { admin: true }],
  ]);
  expect(findProblems(parameters, value)).toEqual([
    { path: "__proto__", message: "is not a known parameter" },
  ]);
});
