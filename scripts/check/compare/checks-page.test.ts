import { loadModule } from "libpg-query";
import { beforeAll, expect, it } from "vitest";
import { compareChecksPage, renderChecksPage } from "./checks-page.ts";

const migrations = [
  {
    path: "supabase/migrations/1_a.sql",
    text: `insert into runbook.check_group (name, title, position, every)
      values ('activity', 'Activity', 2, '1 minute'), ('runbook', 'Runbook', 0, '5 minutes');`,
  },
  {
    path: "supabase/migrations/2_b.sql",
    text: `insert into runbook.check (name, description, position, check_group, unit, thresholds, codes)
      values
        ('late', 'Is a|b late?', 20, 'activity', null, '{"after_s": 60, "share": 0.5}', '{"late": "It is.", "never": "n"}'),
        ('early', 'Is it
          early?', 10, 'activity', '% used', '{}', '{"early": "It is."}');`,
  },
];
const page = `# Checks

By hand.

<!-- Below this line \`npm run format\` writes what the catalog says. -->

## Runbook (\`runbook\`, every 5 minutes)

| check | what it asks | thresholds | codes |
|---|---|---|---|

## Activity (\`activity\`, every 1 minute)

| check | what it asks | thresholds | codes |
|---|---|---|---|
| \`early\` | Is it early? Value: % used. | none | \`early\` |
| \`late\` | Is a\\|b late? | \`after_s\` 60, \`share\` 0.5 | \`late\`, \`never\` |
`;

beforeAll(loadModule);

it("writes a line a check below what was written by hand, and leaves that alone", () => {
  const byHand = page.slice(0, page.indexOf("<!--"));
  expect(renderChecksPage(migrations, byHand)).toBe(page);
  expect(renderChecksPage(migrations, page)).toBe(page);
});

it("is silent when the page says what the catalog says", () => {
  expect(compareChecksPage(migrations, page)).toEqual([]);
});

it.each([
  ["a threshold", page.replace("60", "61")],
  ["a missing line", page.replace(/\| `early`.*\n/, "")],
  ["a missing page", ""],
])("reports %s", (_, other) => {
  expect(compareChecksPage(migrations, other)).toHaveLength(1);
});
