import { loadModule } from "libpg-query";
import { beforeAll, expect, it } from "vitest";
import { compareRemediationPage } from "./remediation-page.ts";

const migrations = [
  {
    path: "supabase/migrations/1_a.sql",
    text: `insert into runbook.remediation (name, risk)
      values ('unban-user', 'high');`,
  },
  {
    path: "supabase/migrations/2_b.sql",
    text: `insert into runbook.remediation (name, title, risk)
      select entry.name, iss.title, entry.risk::text
      from (values ('low', 'unblock-login')) as entry (risk, name)
      inner join runbook.issue as iss on true;`,
  },
];
const page = `# Remediations

| remediation | risk | what it does |
|---|---|---|
| [\`unblock-login\`](issues/login.md) | low | clears a limit |
| \`unban-user\` | high | lifts a ban |

| step | declared by |
|---|---|
| \`row\` | low |
`;

function compare(text: string): string[] {
  return compareRemediationPage(migrations, text).map(({ line, message }) => `${line} ${message}`);
}

beforeAll(loadModule);

it("is silent when the page and the catalog agree", () => {
  expect(compare(page)).toEqual([]);
});

it("misses a remediation", () => {
  expect(compare(page.replace(/.*unblock-login.*\n/, ""))).toEqual([
    "0 The table has no row for `unblock-login` of the catalog.",
  ]);
});

it("finds one that is none, and another risk", () => {
  expect(compare(page.replace("unban-user", "ban-user"))).toEqual([
    "0 The table has no row for `unban-user` of the catalog.",
    "6 The catalog has no remediation ban-user.",
  ]);
  expect(compare(page.replace("| high |", "| low |"))).toEqual([
    "6 unban-user has the risk high in the catalog.",
  ]);
});
