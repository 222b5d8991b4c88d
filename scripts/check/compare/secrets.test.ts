import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { findSecrets } from "./secrets.ts";

const lines = (text: string, path = "a.ts"): number[] =>
  findSecrets([{ path, text }]).map((finding) => finding.line);
const random = randomBytes(48).toString("hex");

it.each([
  "const prefix = 'sb_secret_';",
  "sb_secret_your_key",
  "a token such as eyJhbGciOi….eyJzdWIi….x",
  "supabase/tests/unblock-login/undo_after_someone_elses_change_is_refused_and_says_why.test.sql",
  '\'{"d": "short"}\'',
])("is silent about %s", (text) => {
  expect(lines(text)).toEqual([]);
});

it("reports keys, tokens and long random runs", () => {
  const token = `eyJ${random.slice(0, 20)}.eyJ${random.slice(0, 20)}.${random.slice(0, 30)}`;
  for (const secret of [
    ["-----BEGIN EC PRIVATE", "KEY-----"].join(" "),
    token,
    `sb_secret_${random.slice(0, 30)}`,
    `sbp_${random.slice(0, 40)}`,
    `{ "d": "${random.slice(0, 43)}" }`,
    random,
  ]) {
    expect(lines(`one\n${secret}`)).toEqual([2]);
  }
});

it("takes checksums in the lock file for what they are", () => {
  expect(lines(random, "package-lock.json")).toEqual([]);
});
