import { expect, it } from "vitest";
import { emptyHandler } from "./empty-handler.ts";
import { linesReported } from "./lines-reported.ts";

const block = (handlers: string): string =>
  `do $$\nbegin\n  if a then perform b(); end if;\nexception\n${handlers}\nend $$;`;

it("is silent about handlers that do something", async () => {
  const doing = `when lock_not_available or query_canceled then
      v := case when x then 1 else 2 end;
    when others then
      if y then null; end if;
      exit when z;`;
  expect(await linesReported(emptyHandler, block(doing))).toEqual([]);
});

it("reports null, nothing at all, and the one of several", async () => {
  expect(await linesReported(emptyHandler, block("when others then null;"))).toEqual([5]);
  expect(await linesReported(emptyHandler, block("when others then"))).toEqual([5]);
  expect(
    await linesReported(emptyHandler, block("when no_data_found then v := 1;\nwhen others then null;")),
  ).toEqual([6]);
});

it("finds the handler of an inner block and does not take a raised exception for one", async () => {
  const sql = `do $$
  begin
    raise exception 'x';
    begin
      null;
    exception when others then
      null;
    end;
  end $$;`;
  expect(await linesReported(emptyHandler, sql)).toEqual([6]);
});

it("is silent about a state that the block raises itself, and reports the same handler without the raise", async () => {
  const dryRun = (code: string) =>
    `do $$\nbegin\n${code}\nexception\nwhen sqlstate 'RBDRY' then null;\nend $$;`;
  expect(await linesReported(emptyHandler, dryRun("raise exception 'x' using errcode = 'RBDRY';"))).toEqual(
    [],
  );
  expect(await linesReported(emptyHandler, dryRun("raise sqlstate 'RBDRY';"))).toEqual([]);
  expect(await linesReported(emptyHandler, dryRun("raise exception 'x' using errcode = 'RB400';"))).toEqual([
    5,
  ]);
});
