import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { collect } from "../setup/schedule.ts";
import { ask, connectAs, flush, found } from "./laboratory.ts";

const sql = connectAs("postgres");
const anon = connectAs("authenticator");
const about = "cost_lab.";
const [server] = await sql`select current_setting('server_version_num')::integer as version`;
const version = Number(server?.["version"]);

/** Runs a statement many times, each with its number. */
async function repeat(client: typeof sql, times: number, text: string): Promise<void> {
  const calls = Array.from({ length: times }, (_, call) => text.replaceAll("NUMBER", String(call + 1)));
  for (const call of calls) await client.unsafe(call);
}

beforeAll(async () => {
  await collect(sql, "statements");
  await sql.unsafe(`
    create schema cost_lab;
    grant usage on schema cost_lab to anon;
    create table cost_lab.author (id bigint primary key, name text);
    create table cost_lab.post (
      id bigint primary key, author_id bigint references cost_lab.author (id), body text
    );
    create index post_author_idx on cost_lab.post (author_id);
    create table cost_lab.session (id bigint primary key, token text);
    create table cost_lab.event (
      id bigint primary key, kind text, session_id text, account_id bigint, created_at timestamptz, body text
    );
    insert into cost_lab.author select one, 'a' || one from generate_series(1, 100) as one;
    insert into cost_lab.post select one, 1 + one % 100, 'b' from generate_series(1, 1000) as one;
    insert into cost_lab.session select one, md5(one::text) from generate_series(1, 2000) as one;
    grant select on all tables in schema cost_lab to anon;
  `);
  await sql.unsafe(`
    insert into cost_lab.event
    select one, 'k' || one % 5, md5((one * 7919 % 30000)::text), one % 2000,
      now() - one * interval '1 minute', repeat('x', 100)
    from generate_series(1, 60000) as one;
  `);
  // As PostgREST does; the counters then go by the role.
  await anon`set role anon`;
  await sql.unsafe("analyze cost_lab.author, cost_lab.post, cost_lab.session, cost_lab.event");
});

beforeEach(async () => {
  await sql`delete from runbook.statement_snapshot where id is not null`;
  await sql`delete from runbook.statement_text where queryid is not null`;
  await sql`select extensions.pg_stat_statements_reset()`;
});

afterAll(() => sql`drop schema cost_lab cascade`);

describe("the check of slow statements", () => {
  const slow = (): Promise<string[]> => found(sql, "slow_statements", about);
  const page = "select count(*), pg_sleep(0.03) from cost_lab.author where id > NUMBER";

  it("names what takes most of the time, whoever runs it, and quotes no value", async () => {
    await anon.unsafe(page.replace("0.03", "1.1").replace("NUMBER", "4711"));
    expect(await slow()).toEqual([]);
    await repeat(anon, 40, page);
    const { findings } = await ask(sql, "slow_statements");
    const [dominating] = findings.filter((finding) => JSON.stringify(finding).includes(about));
    expect(dominating).toMatchObject({ code: "statement_dominates", evidence: { role: "anon", calls: 41 } });
    expect(JSON.stringify(findings)).not.toContain("4711");
  });

  it("leaves out what is no query of the application", async () => {
    await repeat(sql, 6, "do $$ begin perform pg_sleep(0.3), 'cost_lab.NUMBER'; end $$");
    expect(await slow()).toEqual([]);
    const { findings } = await ask(sql, "slow_statements");
    expect(findings).toEqual([]);
  });

  it("leaves out the platform's own work until it keeps a processor busy, and what only waits", async () => {
    const platform = connectAs("supabase_admin");
    await sql`select runbook.tune_check('slow_statements', ${sql.json({ slow_ms: 200, busy_percent: 10_000 })})`;
    await repeat(platform, 6, "select pg_sleep(0.25) from cost_lab.author where id = NUMBER");
    await repeat(anon, 6, "select pg_sleep(0.25)");
    const polling = "select count(*), pg_sleep(0.3), 'pg_logical_slot_get_changes' from cost_lab.post";
    await repeat(sql, 6, `${polling} as pg_logical_slot_get_changes where id = NUMBER`);
    expect((await ask(sql, "slow_statements")).findings).toEqual([]);
    await sql`select runbook.tune_check('slow_statements', ${sql.json({ slow_ms: 200, busy_percent: 1 })})`;
    expect((await slow()).toSorted()).toEqual([
      expect.stringMatching(/ postgres /),
      expect.stringMatching(/ supabase_admin /),
    ]);
    await sql`select runbook.tune_check('slow_statements', null)`;
  });

  it("names what is slow each time", async () => {
    await sql`select runbook.tune_check('slow_statements', ${sql.json({ slow_ms: 200, share_percent: 101 })})`;
    await repeat(anon, 6, "select pg_sleep(0.25) from cost_lab.author where id = NUMBER");
    expect(await slow()).toEqual([expect.stringMatching(/^statement_slow anon /)]);
    await sql`select runbook.tune_check('slow_statements', null)`;
  });
});

describe("the check of repeated statements", () => {
  const repeated = (): Promise<string[]> => found(sql, "repeated_statements", about);
  const list = "select id from cost_lab.author where id >= NUMBER order by id limit 10";
  const detail = "select * from cost_lab.post where author_id = NUMBER";

  it("says nothing of a lookup that every request makes", async () => {
    await repeat(anon, 60, list);
    await repeat(anon, 1200, "select id from cost_lab.session where token = 'NUMBER'");
    expect(await repeated()).toEqual([]);
  });

  it("says nothing of a detail that follows each list once", async () => {
    await repeat(anon, 600, "select id from cost_lab.author where id = NUMBER");
    await repeat(anon, 600, detail);
    expect(await repeated()).toEqual([]);
  });

  it("names what is run for each row of a list", async () => {
    await repeat(anon, 60, list);
    await repeat(anon, 600, detail);
    const { findings } = await ask(sql, "repeated_statements");
    expect(findings).toMatchObject([
      {
        code: "statement_repeated",
        severity: "warning",
        evidence: { role: "anon", calls: 600, list_calls: 60, list_rows: 600 },
      },
    ]);
  });

  it("does not blame one role for the list of another", async () => {
    await repeat(anon, 60, list);
    await repeat(sql, 600, detail);
    expect(await repeated()).toEqual([]);
  });
});

describe("the check of repeated statements, where the extension looks into functions", () => {
  const inside = connectAs("supabase_admin");

  beforeAll(async () => {
    await sql.unsafe(`
      create function cost_lab.page_of(first_id bigint) returns void language plpgsql as $$
      declare
        author record;
      begin
        for author in select id from cost_lab.author where id >= first_id order by id limit 10 loop
          perform body from cost_lab.post where author_id = author.id;
        end loop;
      end;
      $$;
      create function cost_lab.is_mine(id bigint) returns boolean language sql stable security definer
      set search_path = '' as $$ select exists (select from cost_lab.session as one where one.id = is_mine.id) $$;
      create policy mine on cost_lab.event for select to anon using (cost_lab.is_mine(account_id));
    `);
    await inside`set pg_stat_statements.track = 'all'`;
    await inside`set role anon`;
  });

  // Before 16 the extension does not count the rows of a loop.
  it.runIf(version >= 160000)("names the loop of a function", async () => {
    await repeat(inside, 60, "select cost_lab.page_of(NUMBER)");
    const { findings } = await ask(sql, "repeated_statements");
    expect(findings).toMatchObject([
      {
        code: "statement_repeated",
        evidence: { role: "anon", is_inside_a_function: true, list_calls: 60, list_rows: 600 },
      },
    ]);
  });

  it("names what a policy runs for each row, and not what it runs once", async () => {
    await sql`select runbook.tune_check('repeated_statements', ${sql.json({ nested_total_ms: 1 })})`;
    await sql`alter table cost_lab.event enable row level security`;
    await repeat(inside, 10, "select count(*) from cost_lab.event where id = NUMBER");
    expect(await found(sql, "repeated_statements", about)).toEqual([]);
    await repeat(inside, 1, "select count(*) from cost_lab.event");
    const { findings } = await ask(sql, "repeated_statements");
    expect(findings).toMatchObject([{ code: "statement_per_row", evidence: { calls: 60010 } }]);
    await sql`alter table cost_lab.event disable row level security`;
    await sql`select runbook.tune_check('repeated_statements', null)`;
  });
});

describe("the checks of missing indexes", () => {
  const missing = (): Promise<string[]> => found(sql, "missing_indexes", about);
  const columns = (): Promise<string[]> => found(sql, "column_statistics", about);
  const scanned = (): Promise<string[]> => found(sql, "sequential_scans", about);
  const visit = "select count(*) from cost_lab.event where session_id = md5('NUMBER')";

  it("say nothing of what an index serves, or none could", async () => {
    await repeat(anon, 20, "select * from cost_lab.event where id = NUMBER");
    await repeat(anon, 5, "select count(*) from cost_lab.event where kind = 'kNUMBER'");
    await flush(anon);
    expect(await missing()).toEqual([]);
    expect(await columns()).toEqual([]);
    expect(await scanned()).toEqual([]);
  });

  it("name the table that is read whole and the column that it is asked by", async () => {
    await repeat(anon, 15, visit);
    await flush(anon);
    expect(await scanned()).toEqual(["large_table_scanned cost_lab.event"]);
    await sql`select runbook.tune_check('sequential_scans', '{"min_share_percent": 101}')`;
    expect(await scanned()).toEqual([]);
    await sql`select runbook.tune_check('sequential_scans', '{"min_share_percent": 101, "warning_rows_a_day": 1}')`;
    expect(await scanned()).toEqual(["large_table_scanned cost_lab.event"]);
    await sql`select runbook.tune_check('sequential_scans', null)`;
    expect(await columns()).toEqual(["column_worth_an_index cost_lab.event.session_id"]);
    const { findings } = await ask(sql, "missing_indexes");
    expect(findings).toMatchObject([
      {
        code: "index_would_help",
        remediation: "create-index",
        params: { table: "cost_lab.event", columns: ["session_id"] },
        evidence: { role: "anon", calls: 15 },
      },
    ]);
  });

  it("say nothing any more once the index is there", async () => {
    await repeat(anon, 15, visit);
    expect(await missing()).toEqual(["index_would_help cost_lab.event"]);
    await sql`create index event_session_idx on cost_lab.event (session_id)`;
    expect(await missing()).toEqual([]);
    expect(await columns()).toEqual([]);
    await sql`drop index cost_lab.event_session_idx`;
  });

  it("name a column only as far as it is proven, and skip the rest with the reason", async () => {
    await repeat(anon, 15, "select * from cost_lab.event where kind = 'kNUMBER' and created_at > now()");
    const { findings, status, reason } = await ask(sql, "missing_indexes");
    expect(findings).toEqual([]);
    expect(status).toBe("skipped");
    expect(reason).toMatch(/cost_lab\.event.*create extension hypopg/);
  });

  it("leave alone what stands in OR, and what a text only pretends to be", async () => {
    await repeat(
      anon,
      15,
      "select count(*) from cost_lab.event where session_id = 'x' or account_id = NUMBER",
    );
    await repeat(anon, 15, "select count(*) from cost_lab.event where lower(session_id) = 'NUMBER'");
    expect(await missing()).toEqual([]);
    expect(await columns()).toEqual([]);
  });
});

const admin = connectAs("supabase_admin");
const [hypopg] = await admin`select from pg_available_extensions where name = 'hypopg'`;

describe.runIf(hypopg !== undefined)("with HypoPG", () => {
  const feed =
    "select * from cost_lab.event where account_id = NUMBER and kind = 'k1' order by created_at desc limit 3";

  beforeAll(() => admin`create extension if not exists hypopg with schema extensions`);
  afterAll(() => admin`drop extension hypopg`);

  it("the planner proves an index over several columns, and nothing of it is left", async () => {
    await repeat(anon, 15, feed);
    await sql`prepare mine as select 1`;
    await sql`select extensions.hypopg_create_index('create index on cost_lab.post (body)')`;
    const { findings, status } = await sql.begin("read only", (transaction) =>
      ask(transaction, "missing_indexes"),
    );
    expect(status).toBe("warning");
    expect(findings).toMatchObject([
      {
        method: "planned with a hypothetical index (HypoPG)",
        params: { table: "cost_lab.event", columns: ["account_id", "kind"] },
      },
    ]);
    expect(await sql`select name from pg_prepared_statements where from_sql`).toEqual([{ name: "mine" }]);
    expect(await sql`select from extensions.hypopg()`).toHaveLength(1);
    await sql`select extensions.hypopg_reset()`;
    await sql`deallocate mine`;
  });

  it("a table that somebody locks is not planned, and nobody waits", async () => {
    await repeat(anon, 15, feed);
    const changer = connectAs("postgres");
    await changer.begin(async (transaction) => {
      await transaction`lock table cost_lab.event in access exclusive mode`;
      const { status, reason } = await ask(sql, "missing_indexes");
      expect(status).toBe("skipped");
      expect(reason).toMatch(/cost_lab\.event was not planned/);
    });
  });
});
