import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { raiseErrcode } from "./raise-errcode.ts";

const body = (code: string): string => `do $$\nbegin\n${code}\nend $$;`;

it.each([
  "raise exception 'No %', x using errcode = 'P0002', hint = 'h';",
  "raise exception using errcode = '22023', message = 'm';",
  "raise sqlstate 'RB403' using message = 'm';",
  "raise no_data_found;",
  "raise;",
  "raise notice 'errcode';",
])("is silent about %s", async (code) => {
  expect(await linesReported(raiseErrcode, body(code))).toEqual([]);
});

it.each([
  "raise exception 'errcode = 1';",
  "raise 'x';",
  "raise exception 'x' using hint = 'errcode';",
  "raise exception '%', errcode;",
])("reports %s", async (code) => {
  expect(await linesReported(raiseErrcode, body(code))).toEqual([3]);
});
