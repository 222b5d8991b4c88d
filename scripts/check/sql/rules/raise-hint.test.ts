import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { raiseHint } from "./raise-hint.ts";

const body = (code: string): string => `do $$\nbegin\n${code}\nend $$;`;

it("is silent about an error with a hint and an error that is passed on", async () => {
  expect(
    await linesReported(raiseHint, body("raise exception 'x' using hint = 'h', errcode = 'P0002';")),
  ).toEqual([]);
  expect(await linesReported(raiseHint, body("raise;\nraise warning 'x';"))).toEqual([]);
});

it("reports an error without one", async () => {
  expect(
    await linesReported(raiseHint, body("raise exception 'hint = %', x using errcode = 'P0002';")),
  ).toEqual([3]);
});

it("is silent about a signal that its own block takes", async () => {
  const raise = "raise exception 'x' using errcode = 'RBDRY';";
  expect(
    await linesReported(raiseHint, body(`${raise}\nexception when sqlstate 'RBDRY' then null;`)),
  ).toEqual([]);
  expect(
    await linesReported(raiseHint, body(`${raise}\nexception when sqlstate 'RBDRY' then raise;`)),
  ).toEqual([3]);
});
