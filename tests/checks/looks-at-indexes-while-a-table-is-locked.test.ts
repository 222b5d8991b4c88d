import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, connectAs, type Report } from "./laboratory.ts";

const sql = connectAs("postgres");
const reader = connectAs("postgres");
const changer = connectAs("postgres");

/** The checks of the two groups. */
async function checks(): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select chk.name from runbook.check as chk
    where chk.check_group in ('indexes', 'statements') order by chk.position`;
  return rows.map(({ name }) => name);
}

beforeAll(() =>
  sql.unsafe(`
    create schema locked_lab;
    create table locked_lab.author (id bigint primary key);
    create table locked_lab.post (id bigint primary key, author_id bigint references locked_lab.author, name text);
    insert into locked_lab.author select one from generate_series(1, 10) as one;
    insert into locked_lab.post select one, 1 + one % 10, 'n' || one from generate_series(1, 60000) as one;
    create index post_name_idx on locked_lab.post (name);
    create index post_name_again_idx on locked_lab.post (name);
    create index post_long_idx on locked_lab.post (name, id);
    create policy own on locked_lab.post using (author_id = 1);
    analyze locked_lab.post;
  `),
);

afterAll(async () => {
  await reader`rollback`;
  await sql`drop schema locked_lab cascade`;
});

describe("while an ALTER TABLE waits behind an idle transaction", () => {
  it("every check of indexes and statements answers, and finds what it finds else", async () => {
    const names = await checks();
    expect(names).toHaveLength(11);
    const before = await Promise.all(names.map((name) => ask(sql, name)));
    await reader`begin`;
    await reader`select count(*) from locked_lab.post`;
    const change = changer`alter table locked_lab.post add column more text`.execute();
    await expect
      .poll(() => sql`select from pg_locks where relation = 'locked_lab.post'::regclass and not granted`)
      .toHaveLength(1);

    const during: Report[] = [];
    for (const name of names) during.push(await ask(sql, name));
    const subjects = (reports: typeof during): string[] =>
      reports.flatMap(({ findings }) =>
        findings
          .map(({ code, subject }) => `${code} ${subject}`)
          .filter((text) => text.includes("locked_lab")),
      );
    expect(during.map(({ status }) => status)).not.toContain("error");
    expect(subjects(during)).toEqual(subjects(before));
    expect(subjects(during)).toEqual([
      "duplicate_index locked_lab.post_name_again_idx",
      "redundant_index locked_lab.post_name_idx",
      "redundant_index locked_lab.post_name_again_idx",
      "foreign_key_without_index locked_lab.post",
    ]);
    await sql`select runbook.collect_usage('14 days')`;
    await sql`select runbook.collect_statements('14 days')`;
    await reader`commit`;
    await change;
  });
});

describe("on a database that is read only", () => {
  it("every check of indexes and statements answers", async () => {
    for (const name of await checks()) {
      const { status } = await sql.begin("read only", (transaction) => ask(transaction, name));
      expect(`${name} ${status}`).not.toMatch(/ error$/);
    }
  });
});

describe("two snapshots at once", () => {
  it("take turns, and count nothing twice", async () => {
    await Promise.all([
      sql`select runbook.collect_statements('14 days')`,
      reader`select runbook.collect_statements('14 days')`,
      changer`select runbook.collect_usage('14 days')`,
    ]);
    const doubled = await sql`
      select from runbook.statement_gain where calls < 0
      union all
      select from runbook.statement_snapshot where began_at > taken_at`;
    expect(doubled).toHaveLength(0);
  });
});
