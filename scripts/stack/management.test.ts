import { expect, it } from "vitest";
import { createManagementServer } from "./management.ts";

const minute = 60_000;

function manage(measureDisk = async () => ({ sizeBytes: 1000, usedBytes: 400 })) {
  let at = 100 * minute;
  const server = createManagementServer({ measureDisk, now: () => at });
  const ask = (
    path: string,
    { method = "GET", token = server.token }: { method?: string; token?: string } = {},
  ): Promise<Response> =>
    server.fetch(
      new Request(`http://management/v1/projects/${path}`, {
        method,
        headers: token === "" ? {} : { authorization: `Bearer ${token}` },
      }),
    );
  return { ask, ref: server.projectRef, pass: (ms: number) => (at += ms) };
}

it("tells how full the disk is", async () => {
  const { ask, ref } = manage();
  const answer = await ask(`${ref}/config/disk/util`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({
    timestamp: "1970-01-01T01:40:00.000Z",
    metrics: { fs_size_bytes: 1000, fs_avail_bytes: 600, fs_used_bytes: 400 },
  });
});

it("tells the health of what is asked for", async () => {
  const { ask, ref } = manage();
  const answer = await ask(`${ref}/health?services=auth,realtime`);
  expect(await answer.json()).toMatchObject([
    { name: "auth", status: "ACTIVE_HEALTHY" },
    { name: "realtime", status: "ACTIVE_HEALTHY", info: { db_connected: false } },
  ]);
  expect((await ask(`${ref}/config/realtime/shutdown`, { method: "POST" })).status).toBe(204);
});

it("refuses what the platform refuses", async () => {
  const { ask, ref } = manage();
  expect((await ask(`${ref}/config/disk/util`, { token: "" })).status).toBe(401);
  expect((await ask(`${ref}/config/disk/util`, { token: "sbp_other" })).status).toBe(401);
  expect((await ask("abcdefghijklmnopqrst/config/disk/util")).status).toBe(403);
  expect((await ask("..%2F/config/disk/util")).status).toBe(400);
  expect((await ask(`${ref}/config/disk/util`, { method: "POST" })).status).toBe(404);
  expect((await ask(`${ref}/config/secrets`)).status).toBe(404);
});

it("takes 120 requests a minute to one endpoint", async () => {
  const { ask, ref, pass } = manage();
  for (let one = 0; one < 120; one += 1) expect((await ask(`${ref}/config/disk/util`)).status).toBe(200);
  pass(10_000);
  const refused = await ask(`${ref}/config/disk/util`);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("x-ratelimit-reset")).toBe("50");
  expect((await ask(`${ref}/health?services=realtime`)).status).toBe(200);
  pass(50_000);
  expect((await ask(`${ref}/config/disk/util`)).status).toBe(200);
});

it("answers 500 when the disk cannot be measured", async () => {
  const { ask, ref } = manage(() => Promise.reject(new Error("down")));
  expect((await ask(`${ref}/config/disk/util`)).status).toBe(500);
});
