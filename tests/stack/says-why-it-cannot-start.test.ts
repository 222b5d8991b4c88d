import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { copyProject } from "./project-copy.ts";
import { createStackKit, untilNothingRuns } from "./stack-kit.ts";

const kit = createStackKit(inject("root"), "refusals");

afterEach(kit.killAll);
afterAll(kit.dispose);

describe("a start that cannot succeed says why in one sentence", () => {
  it("when a port is taken", async () => {
    const ports = await findFreePorts();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(ports.database, "127.0.0.1", resolve));
    try {
      const stack = await kit.launch({ STACK_PORT: String(ports.api) });
      expect(await stack.ended).toBe(1);
      expect(stack.output()).toContain(`Port ${ports.database} (database) is taken by another program.`);
      expect(stack.output()).not.toContain("    at ");
    } finally {
      squatter.close();
    }
  });

  it("when a program is missing", async () => {
    const stack = await kit.launch({ STACK_POSTGRES_BIN: "/nowhere/bin" });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toContain("/nowhere/bin/initdb is missing");
    expect(stack.output()).not.toContain("    at ");
  });

  it("when a setting is no port or no URL", async () => {
    const stack = await kit.launch({ STACK_PORT: "eighty", STACK_DATABASE_URL: "localhost" });
    expect(await stack.ended).toBe(1);
    expect(stack.output()).toMatch(/STACK_PORT must be a number\. STACK_DATABASE_URL must be a URL/);
  });

  it("when a migration is broken, with the file and Postgres' message", async () => {
    const broken = copyProject(inject("root"), join(kit.copy.directory, ".."));
    try {
      const file = "20991231000000_broken.sql";
      writeFileSync(
        join(broken.directory, "supabase", "migrations", file),
        "select 1 from runbook.no_such_table;\n",
      );
      const stack = await kit.launch({}, broken.directory);
      expect(await stack.ended).toBe(1);
      expect(stack.output()).toContain(
        'The migration 20991231000000_broken.sql failed: ERROR: relation "runbook.no_such_table" does not exist',
      );
      expect(stack.output()).not.toContain("    at ");
      await untilNothingRuns(broken.directory);
    } finally {
      broken.remove();
    }
  });
});
