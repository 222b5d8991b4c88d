import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, connectAs, found } from "./laboratory.ts";

const sql = connectAs("postgres");
const builder = connectAs("postgres");
const writer = connectAs("postgres");
const invalid = (): Promise<string[]> => found(sql, "invalid_indexes", "invalid_lab.");

beforeAll(async () => {
  await sql.unsafe(`
    create schema invalid_lab;
    create table invalid_lab.page (id bigint, name text);
    insert into invalid_lab.page values (1, 'a'), (2, 'a');
  `);
});

afterAll(() => sql`drop schema invalid_lab cascade`);

describe("the check of invalid indexes", () => {
  it("says nothing of a valid one, nor of one that is being built", async () => {
    expect(await invalid()).toEqual([]);
    await writer`begin`;
    await writer`insert into invalid_lab.page values (3, 'c')`;
    const build = builder`create index concurrently page_name_idx on invalid_lab.page (name)`.execute();
    await expect
      .poll(() => sql`select from pg_index where indexrelid = to_regclass('invalid_lab.page_name_idx')`)
      .toHaveLength(1);
    expect(await sql`select from pg_index where not indisvalid`).toHaveLength(1);
    expect(await invalid()).toEqual([]);
    await writer`commit`;
    await build;
    expect(await invalid()).toEqual([]);
  });

  it("says nothing of one that is being dropped", async () => {
    await writer`begin`;
    await writer`select count(*) from invalid_lab.page`;
    const drop = builder`drop index concurrently invalid_lab.page_name_idx`.execute();
    await expect.poll(() => sql`select from pg_index where not indisvalid`).toHaveLength(1);
    expect(await invalid()).toEqual([]);
    await writer`commit`;
    await drop;
  });

  it("names one that a failed build left, until it is dropped", async () => {
    await expect(
      builder`create unique index concurrently page_once_idx on invalid_lab.page (name)`,
    ).rejects.toThrow(/could not create unique index/);
    const { findings } = await ask(sql, "invalid_indexes");
    expect(findings).toMatchObject([
      {
        code: "invalid_index",
        severity: "warning",
        remediation: "drop-index",
        params: { index: "invalid_lab.page_once_idx" },
        summary: expect.stringContaining("No query uses it, and nothing is sure to be unique."),
      },
    ]);
    await sql`drop index invalid_lab.page_once_idx`;
    expect(await invalid()).toEqual([]);
  });

  it("says of one that broke off late that every write pays for it", async () => {
    // A snapshot from before, of a session that does not write to the table.
    await writer`begin isolation level repeatable read`;
    await writer`select 1`;
    const build = builder`create index concurrently page_late_idx on invalid_lab.page (name)`.execute();
    const broken = expect(build).rejects.toThrow(/user request/);
    await expect
      .poll(
        () => sql`
          select pg_cancel_backend(pid)
          from pg_stat_progress_create_index
          where phase = 'waiting for old snapshots'`,
      )
      .toHaveLength(1);
    await broken;
    await writer`commit`;
    const { findings } = await ask(sql, "invalid_indexes");
    expect(findings).toMatchObject([
      { subject: "invalid_lab.page_late_idx", summary: expect.stringContaining("every write pays for it") },
    ]);
    await sql`drop index invalid_lab.page_late_idx`;
  });
});
