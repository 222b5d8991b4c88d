import { randomUUID } from "node:crypto";
import type postgres from "postgres";
import { z } from "zod";
import { enter, openDatabase, remediate } from "../../supabase/functions/_shared/database.ts";
import type { Subject } from "./measure.ts";
import type { Blocks } from "./sql-calls.ts";

/** The names of what is measured of a change of one row. */
export const engineSteps = {
  plan: "plan",
  apply: "apply",
  undo: "undo",
  byHand: "a function written by hand",
} as const;

/** The measured subjects and what they hold open. */
export interface EngineCalls {
  subjects: Subject[];
  close(): Promise<void>;
}

const email = "student002@demo.example";
const reason = "measured by npm run bench";
const limits = { statement: "10s", lock: "2s" };
const runAnswer = z.object({ state: z.literal("succeeded"), run: z.object({ id: z.number() }) });

/**
 * One statement each, in a transaction that has passed the door already: what planning, applying and undoing the deletion of
 * one row takes in SQL, beside a function that deletes and verifies the same without plan, images and record.
 * @param claims of the caller's token.
 */
export async function openEngineCalls(
  databaseUrl: string,
  claims: Record<string, unknown>,
  blocks: Blocks,
): Promise<EngineCalls> {
  await createFunctionByHand(blocks.sql);
  // One connection, so a transaction may be written out.
  const sql = openDatabase(databaseUrl, "runbook bench engine");
  /** Ends what was measured last and begins the next transaction, with a fresh block. */
  const prepare = async (): Promise<void> => {
    await sql`commit`;
    await blocks.block(email);
    await sql`begin`;
    await enter(sql, claims, randomUUID(), limits);
  };
  const change = (dryRun: boolean): ReturnType<typeof remediate> =>
    remediate(sql, {
      name: "unblock-login",
      params: { email },
      dryRun,
      reason: dryRun ? null : reason,
      idempotencyKey: dryRun ? null : randomUUID(),
      planHash: null,
    });
  let runId = 0;
  const subjects: Subject[] = [
    { name: engineSteps.plan, prepare, call: async () => expectState(await change(true), "planned") },
    { name: engineSteps.apply, prepare, call: async () => expectState(await change(false), "succeeded") },
    {
      name: engineSteps.byHand,
      prepare,
      call: async () => void (await sql`select public.bench_unblock(${email})`),
    },
  ];
  if (await canUndo(blocks.sql)) {
    subjects.push({
      name: engineSteps.undo,
      prepare: async () => {
        await prepare();
        runId = runAnswer.parse(await change(false)).run.id;
        await sql`commit`;
        await sql`begin`;
        await enter(sql, claims, randomUUID(), limits);
      },
      call: async () => {
        const [row] = await sql`
          select runbook.undo(${runId}::bigint, false, ${reason}::text, ${randomUUID()}::text, null) as answer`;
        expectState(z.record(z.string(), z.unknown()).parse(row?.["answer"]), "succeeded", "undone");
      },
    });
  }
  return {
    subjects,
    close: async () => {
      await sql`rollback`;
      await sql.end({ timeout: 1 });
    },
  };
}

function expectState(answer: Record<string, unknown>, ...states: string[]): void {
  if (!states.includes(String(answer["state"])))
    throw new Error(`The engine answered ${JSON.stringify(answer).slice(0, 500)}.`);
}

async function canUndo(sql: postgres.Sql): Promise<boolean> {
  const [row] = await sql`
    select to_regprocedure('runbook.undo(bigint, boolean, text, text, text)') is not null as exists`;
  return row?.["exists"] === true;
}

/** What a team would write without the runbook: the right is checked, the row deleted, the diagnosis asked again. */
async function createFunctionByHand(sql: postgres.Sql): Promise<void> {
  await sql`
    create or replace function public.bench_unblock(email text)
    returns void
    language plpgsql
    volatile
    security definer
    -- The application's triggers fire below it, and they name their tables without a schema.
    set search_path = public, pg_temp
    set lock_timeout = '2s'
    as $$
    begin
      perform runbook.require_role('operator');

      delete from public.auth_rate_limits as lim
      where lower(btrim(lim.identifier)) = lower(btrim(bench_unblock.email))
        and lim.blocked_until > clock_timestamp();

      if runbook.diagnose('login', jsonb_build_object('email', bench_unblock.email)) -> 'findings'
        @> '[{"code": "rate_limited"}]'
      then
        raise exception 'The address is still blocked.';
      end if;
    end;
    $$`;
  await sql`grant execute on function public.bench_unblock(text) to runbook_operator`;
}
