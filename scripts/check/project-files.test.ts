import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { listProjectFiles, readProjectFiles, resolveNamed } from "./project-files.ts";

const root = mkdtempSync(join(tmpdir(), "project-files-"));

beforeAll(() => {
  for (const folder of ["docs/issues", "node_modules/a", ".git", ".stack"]) {
    mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, folder, "a.md"), "text");
  }
  writeFileSync(join(root, "b.sql"), "select 1;");
  writeFileSync(join(root, "c.png"), "\0");
});
afterAll(() => rmSync(root, { recursive: true }));

it("lists what belongs to the project, and reads what is text", () => {
  const paths = listProjectFiles(root);
  expect(paths).toEqual(["b.sql", "c.png", "docs/issues/a.md"]);
  expect(readProjectFiles(root, paths).map((file) => file.path)).toEqual(["b.sql", "docs/issues/a.md"]);
});

it("finds files that are named from any folder, by themselves or by a folder above", () => {
  expect(resolveNamed(root, join(root, "docs"), ["../b.sql", "issues"])).toEqual({
    files: ["b.sql", "docs/issues/a.md"],
    missing: [],
  });
  expect(resolveNamed(root, root, [])).toEqual({ files: [], missing: [] });
});

it("says which names lead nowhere", () => {
  expect(resolveNamed(root, root, ["doc", "b.sql", "node_modules/a"]).missing).toEqual([
    "doc",
    "node_modules/a",
  ]);
});
