import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { lowerCaseNames } from "./lower-case-names.ts";

it("is silent about quoted names, strings and comments", async () => {
  expect(await linesReported(lowerCaseNames, "select \"Name\", 'Text' from t; -- Words")).toEqual([]);
});

it("reports a name with a capital, in bodies too", async () => {
  expect(await linesReported(lowerCaseNames, "select 1;\nselect Name from t;")).toEqual([2]);
  expect(await linesReported(lowerCaseNames, "do $$ begin\nperform Count(1); end $$;")).toEqual([2]);
});
