import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../setup/schedule.ts";
import { ask, connectAs, flush, found } from "./laboratory.ts";

const sql = connectAs("postgres");
const admin = connectAs("supabase_admin");
const about = "unused_lab.";
const unused = (): Promise<string[]> => found(sql, "unused_indexes", about);

async function tuneWindow(days: number | null): Promise<void> {
  await sql`select runbook.tune_check(
    'unused_indexes', ${days === null ? null : sql.json({ window_days: days })})`;
}

beforeAll(async () => {
  await collect(sql, "usage");
  await sql`delete from runbook.usage_snapshot where id is not null`;
  await sql`delete from runbook.index_usage where index is not null`;
  await sql.unsafe(`
    create schema unused_lab;
    create table unused_lab.class (id bigint primary key);
    create table unused_lab.page (
      id bigint, name text, path text, class_id bigint references unused_lab.class (id),
      owner_id bigint, kind text
    );
    insert into unused_lab.class select one from generate_series(1, 10) as one;
    insert into unused_lab.page
    select one, md5(one::text), md5((one * 7)::text), 1 + one % 10, one, 'k' || one
    from generate_series(1, 60000) as one;
    create index read_idx on unused_lab.page (name);
    create index unread_idx on unused_lab.page (path);
    create unique index unique_idx on unused_lab.page (id);
    create index class_idx on unused_lab.page (class_id, path);
    create index owner_idx on unused_lab.page (owner_id);
    create index small_idx on unused_lab.page (kind) where kind = 'k1';
    alter table unused_lab.page enable row level security;
    create policy own on unused_lab.page using (owner_id = 1);
    analyze unused_lab.page;
  `);
  await sql`set enable_seqscan = off`;
  await sql`select from unused_lab.page where name = 'x'`;
  await flush(sql);
});

afterAll(async () => {
  await tuneWindow(null);
  await sql`drop schema unused_lab cascade`;
  await sql`delete from runbook.usage_snapshot where id is not null`;
  await sql`delete from runbook.index_usage where index is not null`;
});

describe("the check of unused indexes", () => {
  it("names none as long as the counters are too young, and says since when they count", async () => {
    const { status, findings, reason } = await ask(sql, "unused_indexes");
    expect(findings).toEqual([]);
    expect(status).toBe("not_applicable");
    expect(reason).toMatch(/The counters began at/);
  });

  it("names one that is not used, and none that is used, unique, small, or wanted by a key or policy", async () => {
    await tuneWindow(0);
    expect(await unused()).toEqual(["unused_index unused_lab.unread_idx"]);
    const { findings } = await ask(sql, "unused_indexes");
    expect(findings.find(({ subject }) => subject === "unused_lab.unread_idx")).toMatchObject({
      remediation: "drop-index",
      params: { index: "unused_lab.unread_idx" },
      evidence: { scans: 0, table: "unused_lab.page", writes: 60000 },
    });
  });

  it("names the index of a key as soon as another one serves the key", async () => {
    await sql`create index class_again_idx on unused_lab.page (class_id, name)`;
    await sql`select from unused_lab.page where class_id = 1 and name = 'x'`;
    await flush(sql);
    expect(await unused()).toContain("unused_index unused_lab.class_idx");
    await sql`drop index unused_lab.class_again_idx`;
  });

  it("does not take one for unused that came while the runbook was watching", async () => {
    await sql`select runbook.collect_usage('14 days')`;
    await sql`create index new_idx on unused_lab.page (path, name)`;
    expect(await unused()).toEqual(["unused_index unused_lab.unread_idx"]);
    await sql`select runbook.collect_usage('14 days')`;
    await tuneWindow(0.5);
    await sql`
      update runbook.index_usage set unused_since = unused_since - interval '1 day'
      where index = 'unused_lab.unread_idx'::regclass`;
    expect(await unused()).toEqual(["unused_index unused_lab.unread_idx"]);
  });

  it("remembers over a reset of the counters, and takes a reset for no use", async () => {
    await admin`select pg_stat_reset()`;
    expect(await unused()).toEqual([]);
    await sql`select from unused_lab.page where name = 'x'`;
    await flush(sql);
    await sql`select runbook.collect_usage('14 days')`;
    expect(await unused()).toEqual(["unused_index unused_lab.unread_idx"]);
  });

  it("knows one that was used once, and not for more than a day", async () => {
    await sql`
      update runbook.index_usage set unused_since = unused_since - interval '2 days'
      where index = 'unused_lab.read_idx'::regclass`;
    expect(await unused()).toContain("unused_index unused_lab.read_idx");
  });

  it("says nothing any more once it is used", async () => {
    await sql`drop index unused_lab.new_idx, unused_lab.class_idx`;
    await sql`select from unused_lab.page where path = 'x'`;
    await sql`select from unused_lab.page where name = 'x'`;
    await flush(sql);
    expect(await unused()).toEqual([]);
  });
});
