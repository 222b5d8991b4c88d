import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { createStackKit, ready, untilNothingRuns } from "./stack-kit.ts";

const kit = createStackKit(inject("root"), "lifecycle");

afterEach(kit.killAll);
afterAll(kit.dispose);

describe("the stack", () => {
  it("starts, prints the report and three commands, ends with Ctrl-C and leaves no process", async () => {
    const stack = await kit.launch();
    await stack.until(ready);
    expect(stack.output()).toMatch(/diagnose-login[\s\S]*unblock-login[\s\S]*health-check/);
    for (const line of stack.output().split("\n")) expect(line.length).toBeLessThanOrEqual(130);
    stack.child.kill("SIGINT");
    expect(await stack.ended).toBe(0);
    await untilNothingRuns(kit.copy.directory);
  });

  it("keeps its data over a restart and recreates it, saying so, when a migration has changed", async () => {
    const first = await kit.launch();
    await first.until(ready);
    await kit.ask(
      "update public.klassen set name = 'kept' where id = (select id from public.klassen order by id limit 1)",
    );
    first.child.kill("SIGINT");
    await first.ended;

    const second = await kit.launch();
    await second.until(ready);
    expect(await kit.ask("select name from public.klassen where name = 'kept'")).toHaveLength(1);
    second.child.kill("SIGINT");
    await second.ended;

    const migrations = join(kit.copy.directory, "supabase", "migrations");
    const [file = ""] = readdirSync(migrations).sort();
    appendFileSync(join(migrations, file), "\n-- a change\n");
    const third = await kit.launch();
    await third.until(ready);
    expect(third.output()).toContain(`${file} has changed`);
    expect(await kit.ask("select name from public.klassen where name = 'kept'")).toHaveLength(0);
  });

  it.each(["Cluster", "Platform", "Migrations", "Demo school", ready])(
    "leaves nothing that stops the next start when it is killed with -9 after: %s",
    async (moment) => {
      rmSync(join(kit.copy.directory, ".stack"), { recursive: true, force: true });
      const killed = await kit.launch();
      await killed.until(moment);
      killed.child.kill("SIGKILL");
      expect(await killed.ended).toBe("SIGKILL");
      await untilNothingRuns(kit.copy.directory);
      const next = await kit.launch();
      await next.until(ready);
      expect(await kit.ask("select from public.klassen")).not.toHaveLength(0);
    },
  );

  it("takes over the lock of a process that is gone, whoever has its pid now", async () => {
    mkdirSync(join(kit.copy.directory, ".stack"), { recursive: true });
    writeFileSync(join(kit.copy.directory, ".stack", "lock"), "1 0");
    const stack = await kit.launch();
    await stack.until(ready);
  });

  it("makes the database anew, saying so, when the runbook was uninstalled", async () => {
    const first = await kit.launch();
    await first.until(ready);
    await kit.ask("select runbook.uninstall()");
    first.child.kill("SIGINT");
    await first.ended;
    const second = await kit.launch();
    await second.until(ready);
    expect(second.output()).toContain("schema runbook was removed");
    expect(await kit.ask("select from runbook.issue")).not.toHaveLength(0);
  });

  it("serves the functions again after a file was broken and mended", async () => {
    const stack = await kit.launch();
    await stack.until(ready);
    const settings = join(kit.copy.directory, "deno.json");
    const touched = join(kit.copy.directory, "supabase", "functions", "_shared", "version.ts");
    const whole = readFileSync(settings, "utf8");
    writeFileSync(settings, "{");
    appendFileSync(touched, "\n");
    await stack.until("functions could not be restarted");
    writeFileSync(settings, whole);
    appendFileSync(touched, "\n");
    await stack.until("functions restarted");
    const answer = await fetch(`http://127.0.0.1:${kit.port()}/functions/v1/health-check`);
    expect(answer.status).toBe(401);
  });

  it("ends when the npm that started it is killed with -9", async () => {
    const ports = await findFreePorts();
    const npm = spawn("npm", ["start"], {
      cwd: kit.copy.directory,
      env: { ...process.env, STACK_PORT: String(ports.api) },
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    await new Promise<void>((resolve, reject) => {
      npm.stdout.on("data", (chunk: Buffer) => {
        // A line may come in two pieces.
        output += chunk.toString();
        if (output.includes(ready)) resolve();
      });
      npm.once("exit", () => reject(new Error(`npm start ended: ${output}`)));
    });
    npm.kill("SIGKILL");
    await untilNothingRuns(kit.copy.directory);
  });

  it("stops with a sentence when Postgres is killed under it", async () => {
    const stack = await kit.launch();
    await stack.until(ready);
    const pid = Number(
      readFileSync(join(kit.copy.directory, ".stack", "data", "postmaster.pid"), "utf8").split("\n")[0],
    );
    process.kill(pid, "SIGKILL");
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("Postgres ended by itself");
    await untilNothingRuns(kit.copy.directory);
  });

  it("refuses a second stack in the same folder and names the first", async () => {
    const first = await kit.launch();
    await first.until(ready);
    const second = await kit.launch();
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(
      `Another stack runs in this folder already (process ${first.child.pid})`,
    );
  });
});
