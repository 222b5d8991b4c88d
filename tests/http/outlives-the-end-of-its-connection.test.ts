import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { Connection } from "../../supabase/functions/_shared/connection.ts";
import type { Statements } from "../../supabase/functions/_shared/database.ts";
import { call, expectRefusal, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();

/** Ends the backends of an application, as an admin does with a statement that hangs. */
async function endBackends(applicationName: string): Promise<number> {
  const ended = await sql`
    select pg_terminate_backend(act.pid)
    from pg_stat_activity as act
    where act.application_name = ${applicationName}`;
  return ended.length;
}

/** Waits until a statement of an application waits for a lock or sleeps. */
async function untilWaiting(applicationName: string): Promise<void> {
  await expect
    .poll(async () => {
      const waiting = await sql`
        select from pg_stat_activity as act
        where act.application_name = ${applicationName} and act.state = 'active' and act.wait_event is not null`;
      return waiting.length;
    })
    .toBe(1);
}

describe("an edge function", () => {
  const diagnose = (): ReturnType<typeof call> =>
    call("diagnose-login", { headers: secretKey(), json: { email: "ok@demo.example" } });

  it("answers over a new connection when the old one was ended while idle", async () => {
    expect((await diagnose()).status).toBe(200);
    expect(await endBackends("runbook diagnose-login")).toBe(1);
    expect((await diagnose()).status).toBe(200);
  });

  it("says that the database was lost when that happens in the middle, and goes on", async () => {
    const email = `lost-${crypto.randomUUID()}@demo.example`;
    const json = { email, reason: "a test" };
    await sql`
      insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '1 hour')`;
    const answer = await sql.begin(async (holder) => {
      await holder`select from public.auth_rate_limits where identifier = ${email} for update`;
      const asked = call("unblock-login", { headers: secretKey(), json });
      await untilWaiting("runbook unblock-login");
      expect(await endBackends("runbook unblock-login")).toBe(1);
      return await asked;
    });
    expectRefusal(answer, 503, "DATABASE_UNREACHABLE");
    expect(await sql`select from runbook.run where subject = ${email}`).toHaveLength(0);

    const again = await call("unblock-login", { headers: secretKey(), json });
    expect(again.body).toMatchObject({ state: "succeeded" });
  });
});

describe("a connection", () => {
  const name = "runbook connection test";
  let connection: Connection;

  beforeEach(() => {
    connection = new Connection(inject("databaseUrl"), name);
  });
  afterEach(() => connection.end());
  afterAll(() => sql`delete from runbook.setting where name = 'connection_test'`);

  const backend = async (): Promise<unknown> =>
    connection.transaction("as configured", async (transaction) => {
      const [row] = await transaction`select pg_backend_pid() as pid`;
      return row?.["pid"];
    });

  it("commits what is done and undoes what throws", async () => {
    const keep = (value: string, fails: boolean): Promise<void> =>
      connection.transaction("as configured", async (transaction) => {
        await transaction`select runbook.set_setting('connection_test', to_jsonb(${value}::text))`;
        if (fails) throw new RangeError("undo this");
      });
    await keep("first", false);
    await expect(keep("second", true)).rejects.toThrow("undo this");
    const kept = await sql`select value from runbook.setting where name = 'connection_test'`;
    expect(kept).toEqual([{ value: "first" }]);
  });

  it("refuses to write when it is read only", async () => {
    const written = connection.transaction("read only", async (transaction) => {
      await transaction`select runbook.set_setting('connection_test', '1')`;
    });
    await expect(written).rejects.toMatchObject({ code: "25006" });
  });

  it("undoes an attempt alone", async () => {
    const answer = await connection.transaction("as configured", async (transaction) => {
      await expect(transaction.attempt(async (part) => await part`select 1 / 0`)).rejects.toMatchObject({
        code: "22012",
      });
      const [row] = await transaction`select 1 as one`;
      return row?.["one"];
    });
    expect(answer).toBe(1);
  });

  it.each([false, true])(
    "fails when its backend is ended under a statement, in an attempt: %s",
    async (inAttempt) => {
      const first = await backend();
      const lost = connection.transaction("as configured", async (transaction) => {
        const sleep = async (part: Statements): Promise<unknown> => await part`select pg_sleep(10)`;
        return await (inAttempt ? transaction.attempt(sleep) : sleep(transaction));
      });
      lost.catch(() => {});
      await untilWaiting(name);
      await endBackends(name);
      await expect(lost).rejects.toMatchObject({
        code: expect.stringMatching(/^(57P01|CONNECTION_CLOSED|ECONNRESET)$/),
      });
      expect(await connection.statements`select 1 as one`).toEqual([{ one: 1 }]);
      expect(await backend()).not.toBe(first);
    },
  );

  it("sends nothing over the next connection that was meant for the last", async () => {
    let sent: Promise<unknown> | undefined;
    const lost = connection.transaction("as configured", async (transaction) => {
      await transaction`select 1`;
      await endBackends(name);
      // Other requests of the worker have a connection again; the door of this one was the old one.
      await expect
        .poll(() =>
          connection.statements`select 1`.then(
            () => "open",
            () => "lost",
          ),
        )
        .toBe("open");
      sent = Promise.resolve(transaction`select runbook.set_setting('connection_test', '"past the door"')`);
      await sent;
    });
    await expect(lost).rejects.toMatchObject({ code: expect.any(String) });
    await expect.poll(() => sent !== undefined).toBe(true);
    await expect(sent).rejects.toMatchObject({ code: "DATABASE_UNREACHABLE" });
    const kept = await sql`select from runbook.setting where value = '"past the door"'`;
    expect(kept).toHaveLength(0);
  });

  it("serves those who wait while it is lost", async () => {
    await backend();
    const sleeping = connection.transaction("as configured", async (transaction) => {
      await transaction`select pg_sleep(10)`;
    });
    sleeping.catch(() => {});
    const waiting = [backend(), backend(), backend()];
    await untilWaiting(name);
    await endBackends(name);
    await expect(sleeping).rejects.toMatchObject({ code: expect.any(String) });
    expect(await Promise.all(waiting)).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
  });
});
