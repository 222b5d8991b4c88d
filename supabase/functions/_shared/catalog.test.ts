import { expect, test } from "vitest";
import { Catalog, findProblems } from "./catalog.ts";

const definition = {
  parameters: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: {
      email: { type: "string", minLength: 1, maxLength: 320, description: "An address." },
      days: { type: "integer", minimum: 1, maximum: 30 },
      how: { type: "string", enum: ["btree", "gin"] },
      names: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 2 },
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
  expect(takes(definition.parameters)).toBe("It takes email (an address), days?, how?, names?, forced?.");
  expect(takes({ type: "object", additionalProperties: false })).toBe("It takes no parameters.");
});

test.each([null, [], "object", 7])("%j is no JSON Schema", (schema) => {
  expect(() => new Catalog().learn("x", { parameters: schema })).toThrow();
});

test.each([
  [{ email: "a" }, []],
  [{ email: "a", days: 3, forced: false }, []],
  [{}, [{ path: "email", message: "is required" }]],
  [{ email: 1 }, [{ path: "email", message: "must be of type string, not 1" }]],
  [{ email: null }, [{ path: "email", message: "must be of type string, not null" }]],
  [{ email: "" }, [{ path: "email", message: "must not be empty" }]],
  [{ email: "x".repeat(321) }, [{ path: "email", message: "must have at most 320 characters, not 321" }]],
  [{ email: "a", days: 1.5 }, [{ path: "days", message: "must be of type integer, not 1.5" }]],
  [{ email: "a", days: "1" }, [{ path: "days", message: 'must be of type integer, not "1"' }]],
  [{ email: "a", days: [1] }, [{ path: "days", message: "must be of type integer, not array" }]],
  [{ email: "a", days: 0 }, [{ path: "days", message: "must be at least 1, not 0" }]],
  [{ email: "a", days: 1e20 }, [{ path: "days", message: "must be at most 30, not 100000000000000000000" }]],
  [{ email: "a", how: "bogus" }, [{ path: "how", message: 'must be one of btree, gin, not "bogus"' }]],
  [{ email: "a", names: [] }, [{ path: "names", message: "must not be empty" }]],
  [{ email: "a", names: ["a", "b", "c"] }, [{ path: "names", message: "must have at most 2 items, not 3" }]],
  [{ email: "a", names: [null] }, [{ path: "names.0", message: "must be of type string, not null" }]],
  [
    { email: "a", emial: "b", constructor: 1 },
    [
      { path: "emial", message: "is not a known parameter; known are email, days, how, names, forced" },
      { path: "constructor", message: "is not a known parameter; known are email, days, how, names, forced" },
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
    { path: "__proto__", message: "is not a known parameter; known are email, days, how, names, forced" },
  ]);
});
