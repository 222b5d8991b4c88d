import postgres from "postgres";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { createStackKit, ready } from "./stack-kit.ts";

const kit = createStackKit(inject("root"), "given");

const sql = postgres(inject("databaseUrl"), { max: 1 });

afterEach(kit.killAll);
afterAll(kit.dispose);
afterAll(async () => {
  await sql`delete from supabase_migrations.schema_migrations where version = '20250116000000'`;
  await sql.end();
});

describe("STACK_DATABASE_URL and STACK_AUTH_URL", () => {
  it("put a real database and a real Auth in the place of the embedded ones", async () => {
    // The running test stack plays the real project; a copy without its own database uses it. A project has migrations too.
    await sql`insert into supabase_migrations.schema_migrations (version, name) values ('20250116000000', 'indexes')`;
    const stack = await kit.launch({
      STACK_DATABASE_URL: inject("databaseUrl"),
      STACK_AUTH_URL: `${inject("url")}/auth/v1`,
      STACK_PUBLISHABLE_KEY: inject("publishableKey"),
      STACK_SECRET_KEY: inject("secretKey"),
    });
    await stack.until(ready);
    const host = new URL(inject("databaseUrl")).host;
    expect(stack.output().indexOf(host)).toBeGreaterThan(-1);
    expect(stack.output().indexOf(host)).toBeLessThan(stack.output().indexOf("Migrations"));
    expect(stack.output()).toContain("auth.users has people already, so the demo school was not loaded.");
    const health = await fetch(`http://127.0.0.1:${kit.port()}/auth/v1/health`, {
      headers: { apikey: inject("publishableKey") },
    });
    expect(health.status).toBe(200);
    const answer = await fetch(`http://127.0.0.1:${kit.port()}/functions/v1/health-check`, {
      headers: { apikey: inject("secretKey") },
    });
    expect(answer.status).toBe(200);
    stack.child.kill("SIGINT");
    expect(await stack.ended).toBe(0);
  });

  it("ask for the keys of a real Auth server", async () => {
    const stack = await kit.launch({ STACK_AUTH_URL: `${inject("url")}/auth/v1` });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("STACK_PUBLISHABLE_KEY or STACK_SECRET_KEY is not");
  });
});
