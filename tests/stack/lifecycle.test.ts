import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { copyProject, type ProjectCopy, processesOf } from "./project-copy.ts";
import { launchStack, type StackProcess } from "./stack-process.ts";

const ready = "Ready after";
const root = inject("root");
let copy: ProjectCopy;
let port: string;
let launched: StackProcess[] = [];

beforeAll(() => {
  copy = copyProject(root, join(root, ".stack", `temporary-${process.pid}-copies`));
});

afterEach(async () => {
  for (const { child, ended } of launched) {
    child.kill("SIGKILL");
    await ended;
  }
  launched = [];
});

afterAll(async () => {
  await nothingLeft(copy.directory);
  rmSync(join(copy.directory, ".."), { recursive: true, force: true });
});

async function launch(env: Record<string, string> = {}, directory = copy.directory): Promise<StackProcess> {
  port = String((await findFreePorts()).api);
  const stack = launchStack(directory, { STACK_PORT: port, ...env });
  launched.push(stack);
  return stack;
}

/** Waits until no process of the directory runs any more; the reaper may take a moment. */
async function nothingLeft(directory: string): Promise<void> {
  await expect.poll(() => processesOf(directory), { timeout: 15_000 }).toEqual([]);
}

function databaseUrl(): string {
  return `postgresql://postgres:postgres@127.0.0.1:${Number(port) + 1}/postgres`;
}

async function ask<T extends object>(statement: string): Promise<T[]> {
  const sql = postgres(databaseUrl(), { max: 1, onnotice: () => {} });
  try {
    return [...(await sql.unsafe<T[]>(statement))];
  } finally {
    await sql.end();
  }
}

describe("the stack", () => {
  it("starts, prints the report and three commands, ends with Ctrl-C and leaves no process", async () => {
    const stack = await launch();
    await stack.until(ready);
    expect(stack.output()).toMatch(/diagnose-login[\s\S]*unblock-login[\s\S]*health-check/);
    for (const line of stack.output().split("\n")) expect(line.length).toBeLessThanOrEqual(130);
    stack.child.kill("SIGINT");
    expect(await stack.ended).toBe(0);
    await nothingLeft(copy.directory);
  });

  it("keeps its data over a restart and recreates it, saying so, when a migration has changed", async () => {
    const first = await launch();
    await first.until(ready);
    await ask(
      "update public.klassen set name = 'kept' where id = (select id from public.klassen order by id limit 1)",
    );
    first.child.kill("SIGINT");
    await first.ended;

    const second = await launch();
    await second.until(ready);
    expect(await ask("select name from public.klassen where name = 'kept'")).toHaveLength(1);
    second.child.kill("SIGINT");
    await second.ended;

    const migrations = join(copy.directory, "supabase", "migrations");
    const [file = ""] = readdirSync(migrations).sort();
    appendFileSync(join(migrations, file), "\n-- a change\n");
    const third = await launch();
    await third.until(ready);
    expect(third.output()).toContain(`${file} has changed`);
    expect(await ask("select name from public.klassen where name = 'kept'")).toHaveLength(0);
  });

  it.each(["Cluster", "Platform", "Migrations", "Demo school", ready])(
    "leaves nothing that stops the next start when it is killed with -9 after: %s",
    async (moment) => {
      rmSync(join(copy.directory, ".stack"), { recursive: true, force: true });
      const killed = await launch();
      await killed.until(moment);
      killed.child.kill("SIGKILL");
      expect(await killed.ended).toBe("SIGKILL");
      await nothingLeft(copy.directory);
      const next = await launch();
      await next.until(ready);
      expect(await ask("select from public.klassen")).not.toHaveLength(0);
    },
  );

  it("stops with a sentence when Postgres is killed under it", async () => {
    const stack = await launch();
    await stack.until(ready);
    const pid = Number(
      readFileSync(join(copy.directory, ".stack", "data", "postmaster.pid"), "utf8").split("\n")[0],
    );
    process.kill(pid, "SIGKILL");
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("Postgres ended by itself");
    await nothingLeft(copy.directory);
  });

  it("refuses a second stack in the same folder and names the first", async () => {
    const first = await launch();
    await first.until(ready);
    const second = await launch();
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(
      `Another stack runs in this folder already (process ${first.child.pid})`,
    );
  });
});

describe("a start that cannot succeed says why in one sentence", () => {
  it("when a port is taken", async () => {
    const ports = await findFreePorts();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(ports.database, "127.0.0.1", resolve));
    try {
      const stack = await launch({ STACK_PORT: String(ports.api) });
      expect(await stack.ended).toBe(1);
      expect(stack.output()).toContain(`Port ${ports.database} (database) is taken by another program.`);
      expect(stack.output()).not.toContain("    at ");
    } finally {
      squatter.close();
    }
  });

  it("when a program is missing", async () => {
    const stack = await launch({ STACK_POSTGRES_BIN: "/nowhere/bin" });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("/nowhere/bin/initdb is missing");
    expect(stack.output()).not.toContain("    at ");
  });

  it("when a setting is no port or no URL", async () => {
    const stack = await launch({ STACK_PORT: "eighty", STACK_DATABASE_URL: "localhost" });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toMatch(/STACK_PORT must be a number\. STACK_DATABASE_URL must be a URL/);
  });

  it("when a migration is broken, with the file and Postgres' message", async () => {
    const broken = copyProject(root, join(copy.directory, ".."));
    try {
      const file = "20991231000000_broken.sql";
      writeFileSync(
        join(broken.directory, "supabase", "migrations", file),
        "select 1 from runbook.no_such_table;\n",
      );
      const stack = await launch({}, broken.directory);
      expect(await stack.ended).toBe(1);
      expect(stack.output()).toMatch(/A migration failed: .*20991231000000_broken\.sql/);
      expect(stack.output()).toContain('relation "runbook.no_such_table" does not exist');
      expect(stack.output()).not.toContain("    at ");
      await nothingLeft(broken.directory);
    } finally {
      broken.remove();
    }
  });
});

describe.skipIf(process.getuid?.() !== 0)("users (only root can try both)", () => {
  it("works as an ordinary user", async () => {
    const parent = mkdtempSync(join(tmpdir(), "runbook-user-"));
    const nobody = { uid: 65534, gid: 65534, home: join(parent, "home") };
    const mine = copyProject(root, parent);
    try {
      mkdirSync(nobody.home);
      chmodSync(parent, 0o755);
      chmodSync(mine.directory, 0o755);
      for (const path of [nobody.home, mine.directory]) chownSync(path, nobody.uid, nobody.gid);
      const ports = await findFreePorts();
      const stack = launchStack(mine.directory, { STACK_PORT: String(ports.api) }, nobody);
      launched.push(stack);
      await stack.until(ready);
      stack.child.kill("SIGINT");
      expect(await stack.ended).toBe(0);
      await nothingLeft(mine.directory);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  });

  it("works as root in a checkout that the server's user cannot enter", async () => {
    const parent = mkdtempSync(join(tmpdir(), "runbook-closed-"));
    const mine = copyProject(root, parent);
    const homesBefore = readdirSync("/var/tmp");
    try {
      chmodSync(parent, 0o700);
      const stack = await launch({}, mine.directory);
      await stack.until(ready);
      stack.child.kill("SIGINT");
      expect(await stack.ended).toBe(0);
    } finally {
      for (const name of readdirSync("/var/tmp")) {
        if (name.startsWith("supabase-runbook-") && !homesBefore.includes(name))
          rmSync(join("/var/tmp", name), { recursive: true, force: true });
      }
      rmSync(parent, { recursive: true, force: true });
    }
  });
});

describe("STACK_DATABASE_URL and STACK_AUTH_URL", () => {
  it("put a real database and a real Auth in the place of the embedded ones", async () => {
    // The running test stack plays the real project; a copy without its own database uses it.
    const stack = await launch({
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
    const health = await fetch(`http://127.0.0.1:${port}/auth/v1/health`, {
      headers: { apikey: inject("publishableKey") },
    });
    expect(health.status).toBe(200);
    const answer = await fetch(`http://127.0.0.1:${port}/functions/v1/health-check`, {
      headers: { apikey: inject("secretKey") },
    });
    expect(answer.status).toBe(200);
    stack.child.kill("SIGINT");
    expect(await stack.ended).toBe(0);
  });

  it("ask for the keys of a real Auth server", async () => {
    const stack = await launch({ STACK_AUTH_URL: `${inject("url")}/auth/v1` });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("STACK_PUBLISHABLE_KEY or STACK_SECRET_KEY is not");
  });
});
