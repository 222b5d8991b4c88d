import { expect, it } from "vitest";
import { findMentions } from "./mentions.ts";

const lines = (text: string, path = "a.md"): number[] =>
  findMentions([{ path, text }]).map((finding) => finding.line);

it.each([
  'import { a } from "../_shared/env.ts";',
  "https://example.com/work/item and network/root/x",
  "the root/ of the tree, ~/work/x, ./home/x",
  "npm's registry, a registry.",
  "C:\\Program Files",
])("is silent about %s", (text) => {
  expect(lines(text)).toEqual([]);
});

it.each([
  "see ../shared/design.md",
  "cd /work/main",
  "(/root/.cache)",
  "'/home/me/x'",
  "C:\\Users\\me",
  "https://registry.npmjs.org/zod",
  "from https://deno.land/std",
  "jsr.io",
])("reports %s", (text) => {
  expect(lines(`one\n${text}`)).toEqual([2]);
});

it("leaves the files that define the rule alone", () => {
  expect(lines("/work/main", "scripts/check/compare/mentions.ts")).toEqual([]);
});
