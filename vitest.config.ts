import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts", "scripts/**/*.test.ts", "supabase/**/*.test.ts"],
    globalSetup: ["tests/setup/global-setup.ts"],
    // All files share one stack and its one database: they take turns.
    fileParallelism: false,
    testTimeout: 30_000,
    // On a busy machine a first request takes its time.
    expect: { poll: { timeout: 10_000 } },
    hookTimeout: 60_000,
    reporters: process.env["CI"] === "true" ? ["dot"] : ["default"],
  },
});
