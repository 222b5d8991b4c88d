import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { z } from "zod";
import { bearer, call, expectRefusal, newPerson, openDatabase, runIdOf } from "./runbook-client.ts";

const sql = openDatabase();
const page = readFileSync(join(inject("root"), "docs", "remediations.md"), "utf8");
const blocks = (language: string): string[] =>
  [...page.matchAll(/^```(\w+)\n(.*?)^```/gms)].flatMap(([, kind, text]) =>
    kind === language && text !== undefined ? [text] : [],
  );
const requests = blocks("json").map((text) => z.record(z.string(), z.unknown()).parse(JSON.parse(text)));
let viewer: Record<string, string>;
let operator: Record<string, string>;

beforeAll(async () => {
  for (const statements of blocks("sql")) await sql.unsafe(statements);
  await sql`
    insert into public.export_job (name, state, started_at)
    values ('report.pdf', 'running', now() - interval '3 hours'), ('fresh.pdf', 'running', now())`;
  viewer = bearer((await newPerson(sql, "viewer")).token);
  operator = bearer((await newPerson(sql, "operator")).token);
});

afterAll(async () => {
  await sql`delete from runbook.remediation where pack = 'exports'`;
  await sql`delete from runbook.issue where pack = 'exports'`;
  await sql`drop schema if exists ops cascade`;
  await sql`drop table if exists public.export_job`;
});

it("as the page on remediations says, from the diagnosis to the undo", async () => {
  const [diagnose, plan, apply, undo] = requests;
  const before = await sql`select * from public.export_job order by id`;
  const found = await call("diagnose", { headers: viewer, json: diagnose });
  expect(found.status).toBe(200);
  expect(found.body).toMatchObject({
    issue: "export",
    subject: "1",
    verdict: "problem",
    findings: [{ code: "export_stuck", remediation: "restart-export", params: { job: 1 } }],
  });

  const planned = await call("remediate", { headers: operator, json: plan });
  expect(planned.body).toMatchObject({
    run: null,
    state: "planned",
    steps: [{ kind: "row", before: { state: "running" }, after: { state: "waiting" } }],
  });
  expect(await sql`select * from public.export_job order by id`).toEqual(before);

  const applied = await call("remediate", { headers: operator, json: apply });
  expect(applied.status).toBe(200);
  expect(applied.body).toMatchObject({ state: "succeeded", verification: { status: "verified" } });
  expect(await sql`select name, state from public.export_job order by id`).toEqual([
    { name: "report.pdf", state: "waiting" },
    { name: "fresh.pdf", state: "running" },
  ]);
  const healthy = await call("diagnose", { headers: viewer, json: diagnose });
  expect(healthy.body).toMatchObject({ verdict: "ok", findings: [] });

  const undone = await call("undo-remediation", {
    headers: operator,
    json: { ...undo, run_id: runIdOf(applied) },
  });
  expect(undone.body).toMatchObject({ state: "succeeded" });
  expect(await sql`select * from public.export_job order by id`).toEqual(before);
});

it("by what the catalog says now, not by what it said", async () => {
  const json = { issue: "export", params: { job: 2, deep: true } };
  const unknown = await call("diagnose", { headers: viewer, json });
  expectRefusal(unknown, 400, "INVALID_BODY");
  expect(unknown.body["details"]).toEqual([
    { path: "params.deep", message: expect.stringMatching(/^is not a known parameter; /) },
  ]);
  await sql`
    update runbook.issue
    set parameters = jsonb_set(parameters, '{properties,deep}', '{"type": "boolean"}')
    where name = 'export'`;
  expect((await call("diagnose", { headers: viewer, json })).status).toBe(200);
});

describe.each([
  ["diagnose", "issue", "restart-export"],
  ["remediate", "remediation", "export"],
])("%s", (endpoint, kind, other) => {
  it("refuses names that are none of its kind", async () => {
    for (const name of [other, "nothing", "__proto__", "'; drop table runbook.run; --"]) {
      const answer = await call(endpoint, { headers: operator, json: { [kind]: name, params: {} } });
      expectRefusal(answer, 404, "UNKNOWN_ENTRY");
      expect(answer.body["hint"]).toMatch(/^There is .*class-access.*unblock-login|^diagnose takes/);
    }
  });

  it.each([
    [{}, [kind]],
    [{ [kind]: 7, params: {} }, [kind]],
    [{ [kind]: "x", params: [] }, ["params"]],
    [{ [kind]: "x", parameters: {} }, ["parameters"]],
  ])("refuses %j by the paths", async (json, paths) => {
    const answer = await call(endpoint, { headers: operator, json });
    expectRefusal(answer, 400, "INVALID_BODY");
    expect(answer.body["details"]).toEqual(paths.map((path) => expect.objectContaining({ path })));
  });

  it("tells somebody who is no member nothing of the catalog", async () => {
    const outsider = bearer((await newPerson(sql)).token);
    for (const name of ["export", "restart-export", "nothing"]) {
      const answer = await call(endpoint, { headers: outsider, json: { [kind]: name } });
      expectRefusal(answer, 403, "NOT_A_MEMBER");
    }
  });
});
