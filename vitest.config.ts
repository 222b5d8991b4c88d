import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * pgTAP goes first: its files roll back what they do, and some count the rows of a runbook that nobody has used yet. The
 * others go by their paths: by itself vitest orders them by how long they took last time, each run otherwise.
 */
class PgtapFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = files.toSorted((one, other) => (one.moduleId < other.moduleId ? -1 : 1));
    const isPgtap = ({ moduleId }: TestSpecification): boolean => moduleId.includes("/tests/pgtap/");
    return [...sorted.filter(isPgtap), ...sorted.filter((file) => !isPgtap(file))];
  }
}

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts", "scripts/**/*.test.ts", "supabase/**/*.test.ts"],
    globalSetup: ["tests/setup/global-setup.ts"],
    setupFiles: ["tests/setup/tell-more.ts"],
    // All files share one stack and its one database: they take turns.
    fileParallelism: false,
    sequence: { sequencer: PgtapFirst },
    // How long a test that hangs is waited for; how long anything takes belongs to the benchmark. The machine may be busy.
    testTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    hookTimeout: 120_000,
    reporters: process.env["CI"] === "true" ? ["dot"] : ["default"],
  },
});
