import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { migrationHeader } from "./migration-header.ts";

it("is silent about three to six lines", async () => {
  expect(await linesReported(migrationHeader, "-- a\n-- b\n-- c\nselect 1;")).toEqual([]);
  expect(await linesReported(migrationHeader, "-- a\n--\n-- b\n-- c\n-- d\n-- e\n\n-- f\nselect 1;")).toEqual(
    [],
  );
});

it("reports none, too few and too many", async () => {
  expect(await linesReported(migrationHeader, "select 1;\n-- a\n-- b\n-- c\n")).toEqual([1]);
  expect(await linesReported(migrationHeader, "-- a\n-- b\n\n-- c\nselect 1;")).toEqual([1]);
  expect(await linesReported(migrationHeader, `${"-- a\n".repeat(7)}select 1;`)).toEqual([1]);
});
