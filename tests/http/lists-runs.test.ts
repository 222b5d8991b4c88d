import { beforeAll, expect, it } from "vitest";
import { z } from "zod";
import {
  type Answer,
  bearer,
  call,
  expectRefusal,
  newPerson,
  openDatabase,
  runIdOf,
} from "./runbook-client.ts";

const sql = openDatabase();
const emails = Array.from({ length: 5 }, () => `listed-${crypto.randomUUID()}@demo.example`);
const page = z.object({
  items: z.array(z.looseObject({ id: z.number(), subject: z.string().nullish() })),
  next: z.string().nullable(),
});
let ids: number[];
let viewer: Record<string, string>;
let actor: string;

beforeAll(async () => {
  const operator = await newPerson(sql, "operator");
  actor = `user:${operator.id}`;
  viewer = bearer((await newPerson(sql, "viewer")).token);
  ids = [];
  for (const email of emails) {
    const answer = await call("unblock-login", {
      headers: bearer(operator.token),
      json: { email, reason: "a test" },
    });
    ids.unshift(runIdOf(answer));
  }
});

const list = (json: unknown): Promise<Answer> => call("remediation-runs", { headers: viewer, json });

it("newest first, page by page", async () => {
  const seen: number[] = [];
  let cursor: string | null = null;
  do {
    const answer = await list({ actor, limit: 2, ...(cursor === null ? {} : { cursor }) });
    expect(answer.status).toBe(200);
    const { items, next } = page.parse(answer.body);
    expect(items.length).toBeLessThanOrEqual(2);
    seen.push(...items.map(({ id }) => id));
    cursor = next;
  } while (cursor !== null);
  expect(seen).toEqual(ids);
});

it("filters, and takes the filters without personal data from the address", async () => {
  const one = page.parse((await list({ subject: emails[3]?.toUpperCase() })).body);
  expect(one.items.map(({ id }) => id)).toEqual([ids[1]]);
  expect(page.parse((await list({ actor, state: "failed" })).body).items).toEqual([]);
  const query = new URLSearchParams({ remediation: "unblock-login", state: "no_op", limit: "1" });
  const read = await call(`remediation-runs?${query}`, { method: "GET", headers: viewer });
  expect(page.parse(read.body).items).toMatchObject([{ remediation: "unblock-login", state: "no_op" }]);
  const future = new Date(Date.now() + 60_000).toISOString();
  expect(page.parse((await list({ since: future })).body)).toEqual({ items: [], next: null });
});

it("answers one run as the remediation did", async () => {
  for (const answer of [
    await list({ id: ids[0] }),
    await call(`remediation-runs?id=${ids[0]}`, { method: "GET", headers: viewer }),
  ]) {
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ state: "no_op", run: { id: ids[0], actor }, steps: [] });
  }
  expectRefusal(await list({ id: 999_999_999 }), 404, "NOT_FOUND");
});

it.each([
  ["subject=ok@demo.example", "?subject"],
  ["actor=user:1", "?actor"],
  ["id=x", "?id"],
  ["limit=101", "?limit"],
  ["limit=0", "?limit"],
  ["since=yesterday-ish", "?since"],
  ["cursor=abc", "?cursor"],
  ["state=bogus", "?state"],
  ["order=asc", "?order"],
])("refuses ?%s by its path", async (query, path) => {
  const answer = await call(`remediation-runs?${query}`, { method: "GET", headers: viewer });
  expectRefusal(answer, 400, "INVALID_BODY");
  expect(answer.body["details"]).toMatchObject([{ path }]);
});

it("is for members", async () => {
  const outsider = bearer((await newPerson(sql)).token);
  expectRefusal(await call("remediation-runs", { headers: outsider, json: {} }), 403, "NOT_A_MEMBER");
});
