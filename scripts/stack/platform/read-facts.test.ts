import { describe, expect, test } from "vitest";
import { parseFacts, readFacts, topics } from "./read-facts.ts";

const header = "name\tvalue\tservers\n";

describe("parseFacts", () => {
  test("takes the rows that hold for the server", () => {
    const text = `${header}always\ta\nold\tb\t15\nnew\tc\t16+\n`;
    expect(parseFacts(text, "roles", 15).map(({ name }) => name)).toEqual(["always", "old"]);
    expect(parseFacts(text, "roles", 17).map(({ name }) => name)).toEqual(["always", "new"]);
  });

  test("lets a name have one value on each server", () => {
    const text = `${header}role\tmember\t15\nrole\tmember with admin option\t16+\n`;
    expect(parseFacts(text, "memberships", 17)).toEqual([
      { name: "role", value: "member with admin option" },
    ]);
  });

  test.each([
    ["two values for one name", "role\ta\nrole\tb\n"],
    ["a row without a value", "role\n"],
    ["a row with too many columns", "role\ta\t15\t16\n"],
    ["a range that it does not know", "role\ta\t-15\n"],
  ])("refuses %s", (_, rows) => {
    expect(() => parseFacts(header + rows, "roles", 15)).toThrow();
  });
});

describe("readFacts", () => {
  test.each([15, 17])("finds facts about every topic for Postgres %i", async (serverMajor) => {
    const facts = await readFacts(serverMajor);
    expect(topics.filter((topic) => (facts.get(topic) ?? []).length === 0)).toEqual([]);
  });
});
