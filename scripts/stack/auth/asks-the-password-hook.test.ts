import { afterAll, beforeAll, expect, test } from "vitest";
import { addPerson, failure, type LocalAuth, localAuth, newEmail, testDatabase } from "./auth-test-kit.ts";

const sql = testDatabase();
const schema = `auth_hook_${crypto.randomUUID().slice(0, 8)}`;

beforeAll(async () => {
  await sql.unsafe(`
    create schema ${schema};
    create table ${schema}.attempt (event jsonb not null);
    create function ${schema}.count(event jsonb) returns jsonb language plpgsql as $$
    begin
      insert into ${schema}.attempt values (event);
      if (select count(*) from ${schema}.attempt as att
          where att.event ->> 'user_id' = count.event ->> 'user_id' and att.event ->> 'valid' = 'false') >= 3 then
        return '{"decision": "reject", "message": "Come back later.", "should_logout_user": true}';
      end if;
      return '{"decision": "continue"}';
    end $$;
    create function ${schema}.reject(event jsonb) returns jsonb language sql as $$ select '{"decision": "reject"}'::jsonb $$;
    create function ${schema}.fail(event jsonb) returns jsonb language plpgsql as $$
    begin raise exception 'a secret cause'; end $$;
    create function ${schema}.sleep(event jsonb) returns jsonb language sql as
      $$ select jsonb_build_object('decision', 'continue', 'slept', pg_sleep(5)::text) $$;
    create function ${schema}.error(event jsonb) returns jsonb language sql as
      $$ select '{"error": {"http_code": 418, "message": "a teapot"}}'::jsonb $$;
    create function ${schema}.nonsense(event jsonb) returns jsonb language sql as $$ select '7'::jsonb $$`);
});

afterAll(() => sql.unsafe(`drop schema ${schema} cascade`));

async function person(hook: string): Promise<{ auth: LocalAuth; email: string; id: string }> {
  const auth = await localAuth(sql, { passwordHook: `${schema}.${hook}` });
  const email = newEmail(hook);
  return { auth, email, id: await addPerson(email) };
}

test("the hook hears of every attempt, and what it writes stays although the sign-in fails", async () => {
  const { auth, email, id } = await person("count");
  const signIn = async (password: string) =>
    (await auth.client.auth.signInWithPassword({ email, password })).error;

  expect(await signIn("a good password")).toBeNull();
  expect(await signIn("wrong")).toMatchObject({
    code: "invalid_credentials",
    message: "Invalid login credentials",
  });
  expect((await signIn("wrong"))?.message).toBe("Invalid login credentials");
  expect(await signIn("wrong")).toMatchObject({
    status: 400,
    code: "invalid_credentials",
    message: "Come back later.",
  });
  expect((await signIn("a good password"))?.message).toBe("Come back later.");

  const events = await sql`select event from ${sql(schema)}.attempt where event ->> 'user_id' = ${id}`;
  expect(events.map((row) => row["event"])).toEqual(
    [true, false, false, false, true].map((valid) => ({ user_id: id, valid })),
  );
  expect(await sql`select from auth.sessions where user_id = ${id}`).toHaveLength(0);
});

test("nobody's attempts, and those of the banned, do not reach the hook", async () => {
  const { auth, email, id } = await person("reject");
  await sql`update auth.users set banned_until = now() + interval '1 hour' where id = ${id}`;
  const banned = await auth.client.auth.signInWithPassword({ email, password: "a good password" });
  expect(banned.error?.code).toBe("user_banned");
  const nobody = await auth.client.auth.signInWithPassword({ email: newEmail("nobody"), password: "x" });
  expect(nobody.error?.message).toBe("Invalid login credentials");
});

test("a rejection without words has GoTrue's", async () => {
  const { auth, email } = await person("reject");
  const { error } = await auth.client.auth.signInWithPassword({ email, password: "a good password" });
  expect(error?.message).toBe("Further password verification attempts will be rejected.");
});

test.each(["fail", "nonsense", "absent", "sleep"])(
  "a hook that fails (%s) is a 500, and nobody is signed in",
  async (hook) => {
    const { auth, email, id } = await person(hook);
    const response = await auth.post("/token?grant_type=password", { email, password: "a good password" });
    expect(await failure(response)).toEqual({
      status: 500,
      code: "unexpected_failure",
      message: `Error running hook URI: pg-functions://postgres/${schema}/${hook}`,
    });
    expect(auth.reports).toHaveLength(1);
    expect(await sql`select from auth.sessions where user_id = ${id}`).toHaveLength(0);
  },
);

test("an error that the hook returns is the answer", async () => {
  const { auth, email } = await person("error");
  const { error } = await auth.client.auth.signInWithPassword({ email, password: "a good password" });
  expect(error).toMatchObject({ status: 418, message: "a teapot" });
});

test("a name that is no function's name is refused at once", async () => {
  await expect(localAuth(sql, { passwordHook: "public.f(); drop table x" })).rejects.toThrow(
    /schema\.function/,
  );
  await expect(localAuth(sql, { passwordHook: "login_attempt_hook" })).rejects.toThrow(/schema\.function/);
});
