import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { z } from "zod";
import { serveSchema } from "./serve-schema.ts";

const options = { max: 1, onnotice: () => {} };
const asking = postgres(inject("databaseUrl"), options);
const holding = postgres(inject("databaseUrl"), options);
const altering = postgres(inject("databaseUrl"), {
  ...options,
  connection: { application_name: "migration" },
});

const shape = z.object({
  verdict: z.string(),
  summary: z.string(),
  gates: z.array(z.object({ gate: z.string(), state: z.string(), summary: z.string() })),
  rows: z.array(z.object({ visible: z.boolean().nullish(), why: z.string() })),
  proof: z.object({
    tried: z.boolean(),
    agrees: z.boolean().nullish(),
    reason: z.string().nullish(),
    returned: z.object({ messages: z.array(z.object({ message: z.string() })).nullish() }).nullish(),
  }),
});

beforeAll(async () => {
  await removeQueue();
  await serveSchema(asking, "queue");
  // Whoever waits for a lock waits as long as its test holds it, and has failed then.
  await asking`set statement_timeout = '20s'`;
  await asking.unsafe(`
    create schema queue;
    grant usage on schema queue to authenticated;
    create table queue.line (id integer primary key, words text);
    create table queue.asked (id integer primary key);
    insert into queue.line values (1, 'one'), (2, 'two');
    insert into queue.asked values (1), (2);
    create view queue.seen with (security_invoker = true) as select * from queue.line;
    grant all on all tables in schema queue to authenticated;
    alter table queue.line enable row level security;
    create policy "asked" on queue.line
      using (exists (select from queue.asked as a where a.id = line.id));
  `);
});

afterAll(async () => {
  await removeQueue();
  await Promise.all([asking, holding, altering].map((sql) => sql.end({ timeout: 2 })));
});

it.each(["queue.line", "queue.asked"])("while an ALTER TABLE of %s waits", async (table) => {
  let altered: Promise<unknown> | undefined;
  await holding
    .begin(async (transaction) => {
      await transaction.unsafe(`select from ${table}`);
      altered = altering.unsafe(`alter table ${table} add column later text`).catch(() => {});
      await expect
        .poll(
          async () =>
            (await asking`select from pg_locks where relation = to_regclass(${table}) and not granted`)
              .length,
        )
        .toBe(1);
      for (const command of ["select", "update"]) {
        const { answer } = await ask({ command });
        expect(answer.verdict).toBe("unknown");
        expect(answer.summary).toMatch(
          new RegExp(`${table} is locked: pid \\d+ \\(postgres, migration\\) waits for an exclusive lock`),
        );
        expect(answer.gates.find(({ gate }) => gate === "grants")?.state).toBe("pass");
        expect(answer.proof.tried).toBe(false);
      }
      if (table === "queue.line") {
        const { answer } = await ask({ command: "select", table: "queue.seen" });
        expect(answer.summary).toContain("queue.line is locked: pid");
      }
      throw new Error("done");
    })
    .catch((error: Error) => expect(error.message).toBe("done"));
  await altered;
  expect((await ask({ command: "select" })).answer.verdict).toBe("allowed");
});

it("says that a row is locked which the proof would write, and waits for no other", async () => {
  await holding
    .begin(async (transaction) => {
      await transaction`update queue.line set words = 'held' where id = 1`;
      const { answer } = await ask({ command: "update", row: { words: "new" } });
      expect(answer.verdict).toBe("allowed");
      expect(answer.proof).toMatchObject({ tried: true, agrees: true });
      expect(answer.proof.returned?.messages?.[0]?.message).toMatch(/^55P03/);
      throw new Error("done");
    })
    .catch((error: Error) => expect(error.message).toBe("done"));
});

it("is stopped by the time limit of its caller, and tells what took the time", async () => {
  await asking.unsafe(`
    create function queue.dream(number integer) returns boolean language plpgsql
    as $f$ begin perform pg_sleep(20); return true; end $f$;
    create policy "slow" on queue.line as restrictive using (queue.dream(id));
  `);
  await asking`set statement_timeout = '2s'`;
  try {
    const { answer } = await ask({ command: "update", row: { words: "new" } });
    expect(answer.verdict).toBe("unknown");
    expect(answer.summary).toMatch(/The policy slow could not be evaluated\. It was stopped after/);
    expect(answer.proof.tried).toBe(false);
  } finally {
    await asking`set statement_timeout = '20s'`;
  }
});

async function ask(question: Record<string, postgres.JSONValue>): Promise<{ answer: z.infer<typeof shape> }> {
  const [row] = await asking`
    select runbook.explain_access(
      ${asking.json({ user: "ok@demo.example", table: "queue.line", ...question })}
    ) as answer`;
  return { answer: shape.parse(row?.["answer"]) };
}

async function removeQueue(): Promise<void> {
  await asking.unsafe("drop schema if exists queue cascade");
}
