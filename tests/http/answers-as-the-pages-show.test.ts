import { fileURLToPath } from "node:url";
import { beforeAll, expect, inject, it } from "vitest";
import { listProjectFiles, readProjectFiles } from "../../scripts/check/project-files.ts";
import { type Example, examplesOf, partShown, plain } from "./page-examples.ts";
import { call, newPerson, openDatabase } from "./runbook-client.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const pages = readProjectFiles(
  root,
  listProjectFiles(root).filter((path) => /^docs\/.*\.md$/.test(path)),
);
const examples = pages.flatMap(({ path, text }) =>
  examplesOf(text)
    .filter(changesNothing)
    .map((example) => ({ path, example, asked: JSON.stringify(example.body) ?? "" })),
);

const sql = openDatabase();
const variables = new Map<string, string>();

beforeAll(async () => {
  for (const role of ["viewer", "operator", "admin"] as const)
    variables.set(`RUNBOOK_${role.toUpperCase()}_TOKEN`, (await newPerson(sql, role)).token);
  variables.set("SUPABASE_SECRET_KEY", inject("secretKey"));
  // What an earlier file may have left half done.
  const [publication] = await sql`select is_nudged from runbook.realtime_publication()`;
  if (publication?.["is_nudged"] === true)
    await sql`alter publication supabase_realtime drop table runbook.realtime_nudge`;
});

/** A change needs a reason, and the record of a run is another one each time. */
function changesNothing({ endpoint, body }: Example): boolean {
  if (["remediation-runs", "undo-remediation"].includes(endpoint)) return false;
  return typeof body !== "object" || body === null || !("reason" in body);
}

it("finds the examples of every page about an issue", () => {
  const withExamples = new Set(examples.map(({ path }) => path));
  const about = pages.map(({ path }) => path).filter((path) => path.startsWith("docs/issues/"));
  expect([...withExamples]).toEqual(
    expect.arrayContaining([...about, "docs/checks.md", "docs/explain-access.md", "docs/on-call.md"]),
  );
});

it.each(examples)("$path: $example.endpoint $asked", async ({ example }) => {
  const { endpoint, method, body, shown } = example;
  const headers = Object.fromEntries(
    Object.entries(example.headers).map(([name, value]) => [
      name,
      value.replace(/\$(\w+)/g, (_, variable: string) => variables.get(variable) ?? ""),
    ]),
  );
  const answer = await call(endpoint, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: expectedStatus(shown) });
  if (shown !== undefined) expect(partShown(answer.body, shown)).toEqual(plain(shown));
});

/** A page may show a refusal. */
function expectedStatus(shown: unknown): number {
  return typeof shown === "object" && shown !== null && "code" in shown && "details" in shown ? 400 : 200;
}
