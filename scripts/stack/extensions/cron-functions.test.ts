import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";

// What schema cron promises, whoever keeps it: these tests hold with pg_cron itself as well as with the stand-in.

const admin = postgres({
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  user: "supabase_admin",
  database: "postgres",
  onnotice: () => {},
});
const [extension] = await admin<{ version: string }[]>`
  select ext.extversion as version from pg_catalog.pg_extension as ext where ext.extname = 'pg_cron'
`;
const isReal = extension !== undefined;
const isOld = isReal && Number.parseFloat(extension.version) < 1.5;
const newYear = "0 0 1 1 *";

afterAll(() => admin.end());

/** Does something as a role in a transaction that is rolled back. The role `somebody` may log in and use schema cron. */
async function asRole(role: string, act: (sql: postgres.TransactionSql) => Promise<void>): Promise<void> {
  const rollback = new Error("rollback");
  await admin
    .begin(async (sql) => {
      await sql`create role somebody login`;
      await sql`grant usage on schema cron to somebody`;
      await sql`set local role ${sql(role)}`;
      await act(sql);
      throw rollback;
    })
    .catch((error: unknown) => {
      if (error !== rollback) throw error;
    });
}

/** The error of a statement, after which the transaction goes on. */
async function errorOf(
  sql: postgres.TransactionSql,
  act: (sql: postgres.TransactionSql) => Promise<unknown>,
): Promise<{ code: string; message: string }> {
  try {
    await sql.savepoint(act);
  } catch (error) {
    if (error instanceof postgres.PostgresError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("The statement succeeded.");
}

/** The errors of several statements, one after the other. */
async function errorsOf(
  sql: postgres.TransactionSql,
  acts: readonly ((sql: postgres.TransactionSql) => Promise<unknown>)[],
): Promise<{ code: string; message: string }[]> {
  const errors: { code: string; message: string }[] = [];
  for (const act of acts) errors.push(await errorOf(sql, act));
  return errors;
}

async function numberOf(sql: postgres.TransactionSql, name: string): Promise<string | undefined> {
  const [job] = await sql<{ id: string }[]>`select jobid::text as id from cron.job where jobname = ${name}`;
  return job?.id;
}

describe("cron.schedule", () => {
  const accepted = [
    "* * * * *",
    "*/15 0-6/2 1,15 jan-mar MON,fri",
    "59 23 31 12 7",
    " \t5 4 * * sun",
    "# a comment\n5 4 * * *",
    "5 4 * * * and what follows",
    "@hourly",
    "@daily please",
    "@reboot",
    "10-5 * * * *",
    "5! * * * *",
    "*/90 * * * *",
  ];
  const refused = [
    "",
    "* * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 13 *",
    "* * * * 8",
    "*/0 * * * *",
    "5/2 * * * *",
    "1, * * * *",
    "1- * * * *",
    "1-70 * * * *",
    "5x * * * *",
    "mon * * * *",
    "* * * monday *",
    "* * * * monday",
    "-1 * * * *",
    "@Hourly",
    "@never",
    "every minute",
    "*\n* * * *",
    "x".repeat(1000),
  ];

  it.each(accepted)("accepts %j", async (schedule) => {
    await asRole("postgres", async (sql) => {
      await sql`select cron.schedule('test', ${schedule}, 'select 1')`;
      const [job] = await sql`select schedule, active from cron.job where jobname = 'test'`;
      expect(job).toEqual({ schedule, active: true });
    });
  });

  it.each(refused)("refuses %j", async (schedule) => {
    await asRole("postgres", async (sql) => {
      const error = await errorOf(sql, (tx) => tx`select cron.schedule('test', ${schedule}, 'select 1')`);
      expect(error).toEqual({ code: "22023", message: `invalid schedule: ${schedule}` });
    });
  });

  describe.skipIf(isOld)("with the schedules of pg_cron 1.5 and later (the server has an older one)", () => {
    it.each(["1 second", "59 seconds", " 30 sEcOnDs ", "5seconds", "0 3 $ * *", "0 3 $ * mon"])(
      "accepts %j",
      async (schedule) => {
        await asRole("postgres", async (sql) => {
          await sql`select cron.schedule('test', ${schedule}, 'select 1')`;
          expect(await numberOf(sql, "test")).toBeDefined();
        });
      },
    );

    it.each([
      "0 seconds",
      "60 seconds",
      "-1 seconds",
      "5 secondc",
      "50 seconds c",
      "10000000000 seconds",
      "0 3 $x * *",
      "0 3 1,$ * *",
    ])("refuses %j", async (schedule) => {
      await asRole("postgres", async (sql) => {
        const error = await errorOf(sql, (tx) => tx`select cron.schedule('test', ${schedule}, 'select 1')`);
        expect(error.code).toBe("22023");
      });
    });
  });

  it("changes the caller's job of that name and leaves it inactive", async () => {
    await asRole("postgres", async (sql) => {
      const [first] = await sql`select cron.schedule('test', ${newYear}, 'select 1') as id`;
      await sql`select cron.alter_job(${first?.["id"]}::bigint, active := false)`;
      const [second] = await sql`select cron.schedule('test', '@daily', 'select 2') as id`;
      expect(second).toEqual(first);
      const jobs = await sql`select schedule, command, active from cron.job where jobname = 'test'`;
      expect([...jobs]).toEqual([{ schedule: "@daily", command: "select 2", active: false }]);
    });
  });

  it("makes another job for another role, for another case of the name and for no name", async () => {
    await asRole("somebody", async (sql) => {
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      await sql`select cron.schedule('Test', ${newYear}, 'select 1')`;
      await sql`select cron.schedule(${newYear}, 'select 1')`;
      await sql`select cron.schedule(${newYear}, 'select 1')`;
      await sql`set local role postgres`;
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      const jobs = await sql<{ username: string; jobname: string | null }[]>`
        select username, jobname from cron.job where schedule = ${newYear} order by jobid
      `;
      expect(jobs.map((job) => `${job.username}: ${job.jobname}`)).toEqual([
        "somebody: test",
        "somebody: Test",
        "somebody: null",
        "somebody: null",
        "postgres: test",
      ]);
    });
  });

  it("refuses nulls in a named job and answers null for them in a nameless one", async () => {
    await asRole("postgres", async (sql) => {
      const nulls = await errorsOf(sql, [
        (tx) => tx`select cron.schedule(null, ${newYear}, 'select 1')`,
        (tx) => tx`select cron.schedule('test', null, 'select 1')`,
        (tx) => tx`select cron.schedule('test', ${newYear}, null)`,
      ]);
      expect(nulls.map((error) => error.message)).toEqual([
        "job_name can not be NULL",
        "schedule can not be NULL",
        "command can not be NULL",
      ]);
      const [row] = await sql`select cron.schedule(null::text, 'select 1') as id`;
      expect(row).toEqual({ id: null });
    });
  });

  it("takes the rights of a function with its owner's rights, not those of the login", async () => {
    await asRole("supabase_admin", async (sql) => {
      await sql`
        create function public.schedule_for_owner() returns bigint language sql security definer set search_path = ''
        return cron.schedule('test', '@yearly', 'select 1')
      `;
      await sql`alter function public.schedule_for_owner() owner to postgres`;
      await sql`grant execute on function public.schedule_for_owner() to anon`;
      await sql`set local role anon`;
      await sql`select public.schedule_for_owner()`;
      await sql`set local role postgres`;
      const [job] = await sql`select username from cron.job where jobname = 'test'`;
      expect(job).toEqual({ username: "postgres" });
    });
  });

  it("is closed to roles without the use of schema cron", async () => {
    await asRole("anon", async (sql) => {
      const error = await errorOf(sql, (tx) => tx`select cron.schedule('test', ${newYear}, 'select 1')`);
      expect(error.code).toBe("42501");
    });
  });
});

describe("cron.schedule_in_database", () => {
  it("makes an inactive job in another database", async () => {
    await asRole("postgres", async (sql) => {
      await sql`
        select cron.schedule_in_database('test', ${newYear}, 'select 1', 'template1', active := false)
      `;
      const [job] = await sql`select database, username, active from cron.job where jobname = 'test'`;
      expect(job).toEqual({ database: "template1", username: "postgres", active: false });
    });
  });

  it("refuses another role's name, even the caller's own, to all but superusers", async () => {
    await asRole("postgres", async (sql) => {
      const error = await errorOf(
        sql,
        (tx) => tx`select cron.schedule_in_database('test', ${newYear}, 'select 1', 'postgres', 'postgres')`,
      );
      expect(error).toEqual({ code: "XX000", message: "must be superuser to create a job for another role" });
    });
  });

  it("refuses databases and roles that could not run it", async () => {
    await asRole("supabase_admin", async (sql) => {
      const schedule = (database: string, role: string) => (tx: postgres.TransactionSql) =>
        tx`select cron.schedule_in_database('test', ${newYear}, 'select 1', ${database}, ${role})`;
      expect(await errorOf(sql, schedule("nowhere", "somebody"))).toEqual({
        code: "3D000",
        message: 'database "nowhere" does not exist',
      });
      expect(await errorOf(sql, schedule("postgres", "nobody_at_all"))).toEqual({
        code: "XX000",
        message: 'role "nobody_at_all" does not exist',
      });
      expect(await errorOf(sql, schedule("postgres", "anon"))).toEqual({
        code: "XX000",
        message: 'role "anon" can not log in',
      });
      await sql`revoke connect on database postgres from public`;
      expect(await errorOf(sql, schedule("postgres", "somebody"))).toEqual({
        code: "XX000",
        message: "User somebody does not have CONNECT privilege on postgres",
      });
    });
  });

  it("is closed to everyone but postgres", async () => {
    await asRole("somebody", async (sql) => {
      const error = await errorOf(
        sql,
        (tx) => tx`select cron.schedule_in_database('test', ${newYear}, 'select 1', 'postgres')`,
      );
      expect(error.code).toBe("42501");
    });
  });
});

describe("cron.unschedule", () => {
  it("removes the caller's job by name and by number", async () => {
    await asRole("somebody", async (sql) => {
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      expect([...(await sql`select cron.unschedule('test') as done`)]).toEqual([{ done: true }]);
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      const id = await numberOf(sql, "test");
      expect([...(await sql`select cron.unschedule(${id ?? 0}::bigint) as done`)]).toEqual([{ done: true }]);
      expect(await numberOf(sql, "test")).toBeUndefined();
    });
  });

  it("fails when there is no such job", async () => {
    await asRole("postgres", async (sql) => {
      expect(await errorOf(sql, (tx) => tx`select cron.unschedule('nothing')`)).toEqual({
        code: "XX000",
        message: "could not find valid entry for job 'nothing'",
      });
      expect(await errorOf(sql, (tx) => tx`select cron.unschedule(0)`)).toEqual({
        code: "XX000",
        message: "could not find valid entry for job 0",
      });
    });
  });

  it("refuses another role's job to all but those who may delete from cron.job", async () => {
    await asRole("somebody", async (sql) => {
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      const id = (await numberOf(sql, "test")) ?? "0";
      await sql`set local role postgres`;
      expect((await errorOf(sql, (tx) => tx`select cron.unschedule('test')`)).code).toBe("XX000");
      expect((await errorOf(sql, (tx) => tx`select cron.unschedule(${id}::bigint)`)).code).toBe("42501");
      await sql`set local role supabase_admin`;
      await sql`select cron.unschedule(${id}::bigint)`;
      expect(await numberOf(sql, "test")).toBeUndefined();
    });
  });
});

describe("cron.alter_job", () => {
  it("changes what it is given and leaves the rest", async () => {
    await asRole("postgres", async (sql) => {
      const [job] = await sql`select cron.schedule('test', ${newYear}, 'select 1') as id`;
      await sql`select cron.alter_job(${job?.["id"]}::bigint, command := 'select 2', active := false)`;
      const [altered] = await sql`
        select schedule, command, database, username, active, jobname from cron.job where jobname = 'test'
      `;
      expect(altered).toEqual({
        schedule: newYear,
        command: "select 2",
        database: "postgres",
        username: "postgres",
        active: false,
        jobname: "test",
      });
    });
  });

  it("refuses to change nothing, a bad schedule, a database that is not there and another role's name", async () => {
    await asRole("postgres", async (sql) => {
      const [job] = await sql`select cron.schedule('test', ${newYear}, 'select 1') as id`;
      const id = job?.["id"] ?? 0;
      expect(await errorOf(sql, (tx) => tx`select cron.alter_job(${id}::bigint)`)).toEqual({
        code: "XX000",
        message: "no updates specified",
      });
      const altering = await errorsOf(sql, [
        (tx) => tx`select cron.alter_job(${id}::bigint, schedule := 'x')`,
        (tx) => tx`select cron.alter_job(${id}::bigint, database := 'nowhere')`,
      ]);
      expect(altering.map((error) => error.code)).toEqual(["22023", "3D000"]);
      expect(
        await errorOf(sql, (tx) => tx`select cron.alter_job(${id}::bigint, username := 'anon')`),
      ).toEqual({
        code: "XX000",
        message: "must be superuser to alter username",
      });
      expect((await errorOf(sql, (tx) => tx`select cron.alter_job(null, active := true)`)).message).toBe(
        "job_id can not be NULL",
      );
    });
  });

  it("does not find another role's job, but a superuser does", async () => {
    await asRole("somebody", async (sql) => {
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      const id = (await numberOf(sql, "test")) ?? "0";
      const deactivate = (tx: postgres.TransactionSql) =>
        tx`select cron.alter_job(${id}::bigint, active := false)`;
      expect((await errorOf(sql, deactivate)).code).toBe("42501");
      await sql`set local role postgres`;
      expect(await errorOf(sql, deactivate)).toEqual({
        code: "XX000",
        message: `Job ${id} does not exist or you don't own it`,
      });
      await sql`set local role supabase_admin`;
      await deactivate(sql);
      const [job] = await sql`select active from cron.job where jobname = 'test'`;
      expect(job).toEqual({ active: false });
    });
  });
});

describe("the tables of schema cron", () => {
  it("cannot be written by postgres, except for the run details", async () => {
    await asRole("postgres", async (sql) => {
      const writes = await errorsOf(sql, [
        (tx) => tx`insert into cron.job (schedule, command) values (${newYear}, 'select 1')`,
        (tx) => tx`update cron.job set active = false where true`,
        (tx) => tx`delete from cron.job where true`,
      ]);
      expect(writes.map((error) => error.code)).toEqual(["42501", "42501", "42501"]);
      await sql`insert into cron.job_run_details (runid, command) values (-1, 'test')`;
      await sql`update cron.job_run_details set status = 'failed' where runid = -1`;
      const deleted = await sql`delete from cron.job_run_details where runid = -1`;
      expect(deleted.count).toBe(1);
    });
  });

  it("show a role its own jobs and runs, and postgres all of them", async () => {
    await asRole("somebody", async (sql) => {
      await sql`select cron.schedule('test', ${newYear}, 'select 1')`;
      await sql`set local role supabase_admin`;
      await sql`select cron.schedule('other', ${newYear}, 'select 1')`;
      await sql`
        insert into cron.job_run_details (runid, username) values (-1, 'somebody'), (-2, 'supabase_admin')
      `;
      const seen = async (role: string): Promise<string[]> => {
        await sql`set local role ${sql(role)}`;
        const rows = await sql<{ name: string }[]>`
          select jobname::text as name from cron.job where jobname in ('test', 'other')
          union all
          select runid::text from cron.job_run_details where runid < 0
          order by name
        `;
        return rows.map((row) => row.name).sort();
      };
      expect(await seen("somebody")).toEqual(["-1", "test"]);
      expect(await seen("postgres")).toEqual(["-1", "-2", "other", "test"]);
    });
  });
});

describe.skipIf(isReal)("the stand-in's request view (the server has pg_cron itself)", () => {
  it("believes nobody who says to be someone else", async () => {
    await asRole("somebody", async (sql) => {
      await sql`
        insert into stand_in.cron_request (caller, entry, job_name, schedule, command, username)
        values ('supabase_admin', 'cron.schedule(text,text,text)', 'test', ${newYear}, 'select 1', 'supabase_admin')
      `;
      await sql`set local role postgres`;
      const [job] = await sql`select username from cron.job where jobname = 'test'`;
      expect(job).toEqual({ username: "somebody" });
    });
  });

  it("refuses what the caller may not call in schema cron", async () => {
    const request = (entry: string | null) => (tx: postgres.TransactionSql) =>
      tx`
        insert into stand_in.cron_request (entry, job_id, job_name, schedule, command, active)
        values (${entry}, 1, 'test', ${newYear}, 'select 1', false)
      `;
    const restricted = "cron.schedule_in_database(text,text,text,text,text,boolean)";
    await asRole("anon", async (sql) => {
      expect((await errorOf(sql, request("cron.schedule(text,text)"))).code).toBe("42501");
    });
    await asRole("somebody", async (sql) => {
      const errors = await errorsOf(sql, [
        request(restricted),
        request("cron.alter_job(bigint,text,text,text,text,boolean)"),
        request("pg_catalog.now()"),
        request("no.such(function)"),
        request("no function at all"),
        request(null),
      ]);
      expect(errors.map((error) => error.code)).toEqual(Array(6).fill("42501"));
    });
  });

  it("keeps its inner functions to its owner", async () => {
    await asRole("postgres", async (sql) => {
      const [row] = await sql<{ callable: string[] | null }[]>`
        select array_agg(pro.proname::text order by pro.proname) as callable
        from pg_catalog.pg_proc as pro
        where
          pro.pronamespace = 'stand_in'::regnamespace
          and pg_catalog.has_function_privilege('postgres', pro.oid, 'execute')
      `;
      expect(row?.callable).toEqual([
        "decrypt_vault_message",
        "describe_minutes",
        "read_cron_field",
        "read_schedule",
      ]);
    });
  });
});
