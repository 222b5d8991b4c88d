import { loadModule } from "libpg-query";
import { beforeAll, expect, it } from "vitest";
import { compareIssuePages } from "./issue-pages.ts";

const migrations = [
  {
    path: "supabase/migrations/1_a.sql",
    text: `insert into runbook.issue (name, codes, probes)
      values ('login', '{"banned": "b", "unconfirmed": "u"}', array['auth']);
      insert into runbook.other (name, codes) values ('x', '{"y": "z"}');`,
  },
  {
    path: "supabase/migrations/2_b.sql",
    text: `insert into runbook.issue_part (issue, codes) values ('login', '{"limited": "l"}'::jsonb);
      insert into runbook.remediation (name, issue) values ('unblock-login', 'login');
      insert into runbook.cause (issue, position, check_name, code) values ('login', 10, 'auth', 'auth_down');`,
  },
];
const page = [
  "# Login",
  "## Findings",
  "| code | what |",
  "| `banned` | … |",
  "| `unconfirmed` | … |",
  "| `auth_down` | … |",
  "### `limited`",
  "## Evidence",
  "| `seen_at` | … |",
  "Run `unblock-login`.",
].join("\n");

function compare(text: string, path = "docs/issues/login.md"): string[] {
  return compareIssuePages(migrations, [{ path, text }]).map(
    (finding) => `${finding.line} ${finding.message}`,
  );
}

beforeAll(loadModule);

it("is silent when the page and the catalog agree", () => {
  expect(compare(page)).toEqual([]);
});

it.each(["banned", "limited", "auth_down", "unblock-login"])("reports a page that leaves out %s", (word) => {
  expect(compare(page.replaceAll(`\`${word}\``, "it"))).toEqual([expect.stringContaining(`\`${word}\``)]);
});

it("reports a code that the catalog does not have", () => {
  expect(compare(page.replace("| `banned`", "| `gone` | … |\n| `banned`"))).toEqual([
    expect.stringContaining("4 The catalog has no code gone"),
  ]);
  expect(compare(`${page}\n### \`renamed\``)).toEqual([
    expect.stringContaining("11 The catalog has no code renamed"),
  ]);
});

it("reports a missing page and a page without an issue", () => {
  expect(compare(page, "docs/issues/sign-in.md")).toEqual([
    expect.stringContaining("this page is missing"),
    expect.stringContaining("no issue of this name"),
  ]);
});
