import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";
import { codeOf, rolledBack, userId } from "./school-session.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

afterAll(() => sql.end());

describe("the login limiter", () => {
  it("blocks after five failures, also the right password, until the row is deleted", () =>
    rolledBack(sql, async (tx) => {
      const id = await userId(tx, "ok@demo.example");
      for (let failure = 1; failure <= 5; failure += 1) {
        expect(await attempt(tx, id, false)).toMatchObject({ decision: "continue" });
      }
      expect(await limitOf(tx, "ok@demo.example")).toEqual({ minutes: 15, times: 1, failures: 0 });
      const refused = await attempt(tx, id, true);
      expect(refused).toMatchObject({ decision: "reject", should_logout_user: false });
      expect(refused["message"]).toContain("15 minuten");
      await tx`delete from auth_rate_limits where identifier = 'ok@demo.example'`;
      expect(await attempt(tx, id, true)).toEqual({ decision: "continue" });
      expect(
        await tx`select details from activity_log where action = 'login_limit_lifted' order by id desc limit 1`,
      ).toEqual([{ details: { identifier: "ok@demo.example" } }]);
    }));

  it("doubles each further block up to a day", () =>
    rolledBack(sql, async (tx) => {
      const blocks: number[] = [];
      for (let block = 1; block <= 9; block += 1) {
        await tx`update auth_rate_limits set blocked_until = now() where identifier = 'typo@demo.example'`;
        for (let failure = 1; failure <= 5; failure += 1) await reportFailure(tx, "typo@demo.example");
        blocks.push((await limitOf(tx, "typo@demo.example"))?.minutes ?? 0);
      }
      expect(blocks).toEqual([15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
    }));

  it("forgets failures after 15 minutes and everything after a success", () =>
    rolledBack(sql, async (tx) => {
      const id = await userId(tx, "ok@demo.example");
      for (let failure = 1; failure <= 4; failure += 1) await attempt(tx, id, false);
      await tx`
        update auth_rate_limits set window_started_at = now() - interval '16 minutes'
        where identifier = 'ok@demo.example'`;
      await attempt(tx, id, false);
      expect(await limitOf(tx, "ok@demo.example")).toMatchObject({ minutes: null, failures: 1 });
      await attempt(tx, id, true);
      expect(await limitOf(tx, "ok@demo.example")).toBeUndefined();
    }));

  it("counts what the form reports for addresses without a user, and never against a user", () =>
    rolledBack(sql, async (tx) => {
      await tx`set local role anon`;
      for (let failure = 1; failure <= 5; failure += 1) {
        await reportFailure(tx, " Typo@Demo.Example ");
        await reportFailure(tx, "OK@demo.example");
      }
      await reportFailure(tx, "x".repeat(10_000));
      expect(await allowed(tx, "TYPO@demo.example")).toMatchObject({ allowed: false });
      expect(await allowed(tx, "ok@demo.example")).toEqual({ allowed: true });
      await tx`reset role`;
      expect(await limitOf(tx, "ok@demo.example")).toBeUndefined();
      expect(await tx`select from auth_rate_limits where length(identifier) > 254`).toHaveLength(0);
    }));

  it("is called by Auth and by nobody else", async () => {
    await rolledBack(sql, async (tx) => {
      for (const role of ["anon", "authenticated", "service_role"]) {
        await tx.unsafe(`set local role ${role}`);
        const hook = (client: postgres.Sql) => client`select public.login_attempt_hook('{}')`;
        const count = (client: postgres.Sql) => client`select public.count_login_failure('a@b.example')`;
        expect([await codeOf(tx, hook), await codeOf(tx, count)]).toEqual(["42501", "42501"]);
      }
    });
    const auth = postgres({
      host: inject("socketDirectory"),
      port: inject("databasePort"),
      user: "supabase_auth_admin",
      database: "postgres",
      max: 1,
    });
    try {
      await rolledBack(auth, async (tx) => {
        const [user] = await tx<{ id: string }[]>`select id from users where email = 'ok@demo.example'`;
        for (let failure = 1; failure <= 5; failure += 1) await attempt(tx, user?.id ?? "", false);
        expect(await attempt(tx, user?.id ?? "", true)).toMatchObject({ decision: "reject" });
      });
    } finally {
      await auth.end();
    }
  });
});

/** What Auth does after it compared a password. */
async function attempt(tx: postgres.Sql, id: string, valid: boolean): Promise<Record<string, unknown>> {
  const [row] = await tx<{ answer: Record<string, unknown> }[]>`
    select public.login_attempt_hook(${JSON.stringify({ user_id: id, valid })}::text::jsonb) as answer`;
  return row?.answer ?? {};
}

async function reportFailure(tx: postgres.Sql, email: string): Promise<void> {
  await tx`select public.record_failed_login(${email})`;
}

async function allowed(tx: postgres.Sql, email: string): Promise<unknown> {
  const [row] = await tx`select public.check_login_allowed(${email}) as answer`;
  return row?.["answer"];
}

async function limitOf(
  tx: postgres.Sql,
  identifier: string,
): Promise<{ minutes: number | null; times: number; failures: number } | undefined> {
  const [row] = await tx<{ minutes: number | null; times: number; failures: number }[]>`
    select
      (extract(epoch from blocked_until - now()) / 60)::int as minutes,
      times_blocked as times,
      failed_attempts as failures
    from public.auth_rate_limits
    where identifier = ${identifier}`;
  return row;
}
