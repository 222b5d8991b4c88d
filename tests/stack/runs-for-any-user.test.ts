import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { findFreePorts } from "../../scripts/stack/ports.ts";
import { copyProject } from "./project-copy.ts";
import { createStackKit, ready, untilNothingRuns } from "./stack-kit.ts";
import { launchStack } from "./stack-process.ts";

const kit = createStackKit(inject("root"), "users");

afterEach(kit.killAll);
afterAll(kit.dispose);

describe.skipIf(process.getuid?.() !== 0)("users (only root can try both)", () => {
  it("works as an ordinary user", async () => {
    const parent = mkdtempSync(join(tmpdir(), "runbook-user-"));
    const nobody = { uid: 65534, gid: 65534, home: join(parent, "home") };
    const mine = copyProject(inject("root"), parent);
    try {
      mkdirSync(nobody.home);
      chmodSync(parent, 0o755);
      chmodSync(mine.directory, 0o755);
      for (const path of [nobody.home, mine.directory]) chownSync(path, nobody.uid, nobody.gid);
      const ports = await findFreePorts();
      const stack = launchStack(mine.directory, { STACK_PORT: String(ports.api) }, nobody);
      await stack.until(ready);
      stack.child.kill("SIGINT");
      expect(await stack.ended).toBe(0);
      await untilNothingRuns(mine.directory);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  });

  it("works as root in a checkout that the server's user cannot enter", async () => {
    const parent = mkdtempSync(join(tmpdir(), "runbook-closed-"));
    const mine = copyProject(inject("root"), parent);
    const homesBefore = readdirSync("/var/tmp");
    try {
      chmodSync(parent, 0o700);
      const stack = await kit.launch({}, mine.directory);
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
