import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { queryCanceled } from "./query-canceled.ts";

const block = (code: string, handlers: string): string =>
  `do $$\nbegin\n  ${code}\nexception\n${handlers}\nend $$;`;

it("is silent when query_canceled is named, beside others or on its own", async () => {
  const call = "perform app.run_check('x');";
  expect(
    await linesReported(queryCanceled, block(call, "when query_canceled or others then v := 1;")),
  ).toEqual([]);
  const apart = "when query_canceled then v := 1;\nwhen others then v := 2;";
  expect(await linesReported(queryCanceled, block(call, apart))).toEqual([]);
});

it("is silent around other work and about other conditions", async () => {
  const quiet = block("insert into a values (1); execute 'select 1';", "when others then v := 1;");
  expect(await linesReported(queryCanceled, quiet)).toEqual([]);
  const narrow = block("v := app.check_x();", "when undefined_table then v := 1;");
  expect(await linesReported(queryCanceled, narrow)).toEqual([]);
});

it("reports a call of a check, and a statement that a function named after checks executes", async () => {
  const call = block("v := app.check_x();", "when others then v := 1;");
  expect(await linesReported(queryCanceled, call)).toEqual([5]);
  const executed = block("execute format('select %I()', f);", "when others then v := 1;").replace(
    "do $$",
    () => "create function app.run_check(f text) returns void language plpgsql as $$",
  );
  expect(await linesReported(queryCanceled, executed)).toEqual([5]);
});
