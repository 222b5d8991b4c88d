import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { installExtensions, installPgtap } from "./install-extensions.ts";
import { createScratchDatabase, type ScratchDatabase } from "./testing/scratch-database.ts";

let database: ScratchDatabase;
let admin: postgres.Sql;

beforeAll(async () => {
  database = await createScratchDatabase();
  admin = database.logIn("supabase_admin");
});

afterAll(() => database.drop());

/** Every object of the schemas, with its definition where it has one. */
async function inventory(schemas: readonly string[]): Promise<string[]> {
  const rows = await admin<{ object: string }[]>`
    select format('%s %s', cls.oid, cls.relacl) as object
    from pg_catalog.pg_class as cls
    where cls.relnamespace::regnamespace::text in ${admin(schemas)}
    union all
    select format('%s %s', pro.oid, pro.proacl)
    from pg_catalog.pg_proc as pro
    where pro.pronamespace::regnamespace::text in ${admin(schemas)}
    order by object
  `;
  return rows.map((row) => row.object);
}

describe("installExtensions", () => {
  it("leaves everything as it is the second time, the jobs included", async () => {
    const schemas = ["cron", "net", "vault", "stand_in"];
    await admin`select cron.schedule('kept', '@yearly', 'select 1')`;
    const before = await inventory(schemas);
    expect(await installExtensions(admin)).toEqual({
      pgCron: "stand-in",
      pgNet: "stand-in",
      vault: "stand-in",
    });
    expect(await inventory(schemas)).toEqual(before);
    expect(await admin`select from cron.job where jobname = 'kept'`).toHaveLength(1);
  });

  it("leaves nothing of an extension that it cannot install", async () => {
    const other = await createScratchDatabase();
    const sql = other.logIn("supabase_admin");
    await sql`drop schema vault cascade`;
    await sql`drop schema stand_in cascade`;
    await sql`drop schema cron cascade`;
    // Vault's SQL needs pgcrypto.
    await sql`drop extension pgcrypto`;
    await expect(installExtensions(sql)).rejects.toThrow(
      "the stand-in of supabase_vault could not be installed",
    );
    const [row] = await sql`
      select to_regnamespace('cron') is not null as cron, to_regnamespace('vault') is not null as vault
    `;
    expect(row).toEqual({ cron: true, vault: false });
    await other.drop();
  });

  it("gives every function an empty search path and a comment", async () => {
    const rows = await admin<{ name: string }[]>`
      select pro.oid::regprocedure::text as name
      from pg_catalog.pg_proc as pro
      where
        pro.pronamespace::regnamespace::text in ('cron', 'net', 'vault', 'stand_in')
        and (
          pro.proconfig is distinct from array['search_path=""']
          or pg_catalog.obj_description(pro.oid, 'pg_proc') is null
        )
    `;
    expect([...rows]).toEqual([]);
  });
});

describe("installPgtap", () => {
  it("makes pgTAP's functions callable for postgres, also when it is called twice", async () => {
    const source = await installPgtap(admin);
    expect(await installPgtap(admin)).toBe(source);
    const sql = database.logIn("postgres");
    await sql.begin(async (tx) => {
      await tx`set local search_path = public, extensions`;
      const lines = async (query: postgres.PendingQuery<postgres.Row[]>): Promise<unknown[]> =>
        (await query).map((row) => Object.values(row)[0]);
      expect(await lines(tx`select * from plan(3)`)).toEqual(["1..3"]);
      expect(await lines(tx`select is(1 + 1, 2, 'it can count')`)).toEqual(["ok 1 - it can count"]);
      expect(
        await lines(tx`select throws_ok('select 1 / 0', '22012', 'division by zero', 'it catches')`),
      ).toEqual(["ok 2 - it catches"]);
      expect(
        await lines(tx`select has_function('extensions', 'plan', array['integer'], 'it finds')`),
      ).toEqual(["ok 3 - it finds"]);
      expect(await lines(tx`select * from finish()`)).toEqual([]);
    });
  });
});
