import postgres from "postgres";
import { z } from "zod";
import { measure } from "./measure.ts";
import { goals, type StepResult } from "./result.ts";
import { summarize } from "./statistics.ts";
import { table } from "./table.ts";

const rowCount = 100;
const options = { warmUp: 5, rounds: 60 };
const answered = z.object({
  rows: z.array(z.unknown()),
  proof: z.object({ agrees: z.boolean().nullable() }),
});

const subjects = [
  { name: "the verdict alone", question: { command: "select", proof: false }, agrees: null },
  { name: "with the proof", question: { command: "select" }, agrees: true },
  { name: "of an update, with the proof", question: { command: "update", row: { number: 1 } }, agrees: true },
];

/**
 * Explains a hundred rows under five policies as SQL: columns, the claims, functions of the school, a subquery. Leaves
 * nothing behind. `databaseUrl` is a login as `postgres`.
 */
export async function measureAccessRows(databaseUrl: string): Promise<StepResult[]> {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => {} });
  try {
    await sql.unsafe(makeTable);
    const times = await measure(
      subjects.map(({ name, question, agrees }) => ({
        name,
        call: async () => {
          const [row] = await sql`
            select runbook.explain_access(
              ${sql.json({ user: "ok@demo.example", table: "bench_lesson", limit: rowCount, ...question })}
            ) as answer`;
          const { rows, proof } = answered.parse(row?.["answer"]);
          if (rows.length !== rowCount || proof.agrees !== agrees)
            throw new Error(`${name}: ${rows.length} rows, and the proof agrees: ${proof.agrees}.`);
        },
      })),
      options,
    );
    return subjects.map(({ name }) => ({ name, times: summarize(times.get(name) ?? []) }));
  } finally {
    await sql.unsafe("drop table if exists public.bench_lesson");
    await sql.end({ timeout: 2 });
  }
}

/** The chapter of docs/benchmarks.md. */
export function accessRowsChapter(steps: readonly StepResult[]): string[] {
  return [
    "## A hundred rows under five policies",
    `\`runbook.explain_access\` for ${rowCount} rows of a table with five policies (columns, the claims, two functions of the school, a subquery on a table with policies of its own, a restrictive one), ${options.rounds} times each, in turns, in ms, as SQL over one connection. Evaluating the policies themselves is part of it. The goal is a median of at most ${goals.accessRows} ms for the verdict.`,
    accessRowsTable(steps),
  ];
}

/** The times, and the goal of the first. */
export function accessRowsTable(steps: readonly StepResult[]): string {
  return table(
    ["explanation", "p50", "p99", "goal"],
    steps.map(({ name, times }, index) => [
      name,
      times.p50.toFixed(1),
      times.p99.toFixed(1),
      index > 0 ? "" : times.p50 <= goals.accessRows ? "met" : "missed",
    ]),
  );
}

const makeTable = `
  drop table if exists public.bench_lesson;
  create table public.bench_lesson (
    id bigint primary key,
    owner_id uuid,
    class_id uuid,
    number integer,
    words text
  );
  insert into public.bench_lesson
  select
    n,
    case when n % 2 = 0 then '10000000-0000-4000-8000-000000000010'::uuid end,
    (array(select id from public.klassen order by id))[1 + n % 8],
    n,
    'words ' || n
  from generate_series(1, 1000) as n;
  alter table public.bench_lesson enable row level security;
  grant select, update on public.bench_lesson to authenticated;
  create policy "own" on public.bench_lesson to authenticated
    using (owner_id = (select auth.uid()));
  create policy "enrolled" on public.bench_lesson to authenticated
    using (is_enrolled_in_class(class_id));
  create policy "staff" on public.bench_lesson to authenticated
    using (has_role('admin') or (number > 10 and words = 'y'));
  create policy "published" on public.bench_lesson to authenticated
    using (exists (select from public.klassen as k where k.id = class_id and k.published));
  create policy "not thirteen" on public.bench_lesson as restrictive to authenticated
    using (number <> 13);
  analyze public.bench_lesson;
`;
