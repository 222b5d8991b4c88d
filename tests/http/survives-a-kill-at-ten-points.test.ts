import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { tick } from "../setup/schedule.ts";
import { endWorker, hold, terminate, waitingFor } from "./interruptions.ts";
import {
  asAnother,
  callChange,
  createStatementChange,
  dropStatementChange,
  letTimePass,
  rowChange,
  runsOf,
  type Subject,
  statementChange,
} from "./killable-changes.ts";
import { type Answer, bearer, call, newPerson, openDatabase } from "./runbook-client.ts";
import { type StopPoint, stoppingAt } from "./stopping-worker.ts";
import { requestTo } from "./worker-on.ts";

const sql = openDatabase();
/** For transactions that hold something which a request then waits for. */
const holders = postgres(inject("databaseUrl"), { max: 4, onnotice: () => {} });
const patient = { timeout: 60_000, interval: 200 };
/** Of somebody whom the door looks up; a secret key passes it without. */
let person: Record<string, string>;

beforeAll(async () => {
  person = bearer((await newPerson(sql, "admin")).token);
  await createStatementChange(sql);
});

afterAll(async () => {
  // What a test that failed still holds is released.
  await holders.end({ timeout: 1 });
  await dropStatementChange(sql);
});

/** Sends the request through the gateway, as a client that may hang up. */
function send(subject: Subject): { answered: Promise<Response>; hangUp: () => void } {
  const client = new AbortController();
  const answered = fetch(`${inject("url")}/functions/v1/${subject.endpoint}`, {
    method: "POST",
    headers: { ...subject.headers, "content-type": "application/json" },
    body: JSON.stringify(subject.json),
    signal: client.signal,
  });
  answered.catch(() => {});
  return { answered, hangUp: () => client.abort() };
}

const repeat = ({ endpoint, headers, json }: Subject): Promise<Answer> => call(endpoint, { headers, json });

/** A function whose platform ends it at a point: its connection breaks, and its request is never answered. */
async function endAt(point: StopPoint, subject: Subject): Promise<void> {
  const worker = stoppingAt(point);
  void serveRemediation(subject.endpoint, worker.parts).fetch(
    requestTo(subject.endpoint, subject.json, subject.headers),
  );
  await worker.reached;
  await worker.end();
}

const lockOfRow =
  ({ of: email }: Subject) =>
  (holder: postgres.TransactionSql): PromiseLike<unknown> =>
    holder`select from public.auth_rate_limits where identifier = ${email} for update`;
const lockOfUser =
  ({ of: email }: Subject) =>
  (holder: postgres.TransactionSql): PromiseLike<unknown> =>
    holder`select from auth.users where email = ${email} for update`;

/** Begins a change and lets its statement wait; answers the process that carries the statement out. */
async function parkStatement(subject: Subject): Promise<{ pid: number; release: () => Promise<void> }> {
  const release = await hold(
    holders,
    (holder) => holder`lock table ${holder(subject.of)} in share update exclusive mode`,
  );
  expect((await send(subject).answered).status).toBe(202);
  const [run] = await runsOf(sql, subject);
  return { pid: await waitingFor(sql, `runbook run ${run?.id}`), release };
}

interface Point {
  name: string;
  of: () => Promise<Subject>;
  /** Begins the change and kills who is at the point. */
  kill: (subject: Subject) => Promise<void>;
  /** What is left when everything that still lived has come to its end. */
  leaves: "nothing" | "succeeded" | "applying";
  /** How the run ends; `succeeded` unless given. */
  ends?: "succeeded" | "abandoned";
  /** How often the call was claimed in the end. */
  attempts?: number;
}

const points: Point[] = [
  {
    name: "the client, while the door is waited for",
    of: () => rowChange(sql, person),
    kill: async (subject) => {
      const release = await hold(
        holders,
        (holder) => holder`lock table runbook.member in access exclusive mode`,
      );
      const client = send(subject);
      await waitingFor(sql, "runbook unblock-login");
      client.hangUp();
      await expect(client.answered).rejects.toThrow();
      await release();
    },
    leaves: "succeeded",
  },
  {
    name: "the client, while the row is waited for",
    of: () => rowChange(sql),
    kill: async (subject) => {
      const release = await hold(holders, lockOfRow(subject));
      const client = send(subject);
      await waitingFor(sql, "runbook unblock-login");
      client.hangUp();
      await expect(client.answered).rejects.toThrow();
      await release();
    },
    leaves: "succeeded",
  },
  {
    name: "the database's session, while the row is waited for",
    of: () => rowChange(sql),
    kill: async (subject) => {
      const release = await hold(holders, lockOfRow(subject));
      const { answered } = send(subject);
      await terminate(sql, await waitingFor(sql, "runbook unblock-login"));
      expect((await answered).status).toBe(503);
      await release();
    },
    leaves: "nothing",
  },
  {
    name: "the database's session, between the change and its commit",
    of: () => rowChange(sql),
    kill: async (subject) => {
      const worker = stoppingAt("before the commit");
      const answered = serveRemediation(subject.endpoint, worker.parts).fetch(
        requestTo(subject.endpoint, subject.json, subject.headers),
      );
      await worker.reached;
      await terminate(sql, await worker.pid());
      worker.resume();
      expect((await answered).status).toBe(503);
      await worker.end();
    },
    leaves: "nothing",
  },
  {
    name: "the function, between the commit and its first call",
    of: () => callChange(sql),
    kill: (subject) => endAt("before a call is claimed", subject),
    leaves: "applying",
    attempts: 1,
  },
  {
    name: "the function, with a call that it claimed and did not send",
    of: () => callChange(sql),
    kill: (subject) => endAt("after a call is claimed", subject),
    leaves: "applying",
    attempts: 2,
  },
  {
    name: "the function, while Auth works on its call",
    of: () => callChange(sql),
    kill: async (subject) => {
      const release = await hold(holders, lockOfUser(subject));
      const { answered } = send(subject);
      await waitingFor(sql, "auth");
      await endWorker("confirm-email");
      expect((await answered).status).toBe(502);
      await release();
      await expect.poll(subject.changes, patient).toBe(1);
    },
    leaves: "applying",
    attempts: 2,
  },
  {
    name: "the function, with an answer of Auth that it did not report",
    of: () => callChange(sql),
    kill: async (subject) => {
      await endAt("before a call is settled", subject);
      expect(await subject.changes()).toBe(1);
    },
    leaves: "applying",
    attempts: 2,
  },
  {
    name: "the database's session, while Auth's answer is recorded",
    of: () => callChange(sql),
    kill: async (subject) => {
      const releaseUser = await hold(holders, lockOfUser(subject));
      const { answered } = send(subject);
      await waitingFor(sql, "auth");
      const releaseCall = await hold(
        holders,
        (holder) => holder`
          select from runbook.call
          where run_id = (select id from runbook.run where subject = ${subject.of})
          for update`,
      );
      await releaseUser();
      await terminate(sql, await waitingFor(sql, "runbook confirm-email"));
      await releaseCall();
      expect((await answered).status).toBe(200);
    },
    leaves: "succeeded",
    attempts: 1,
  },
  {
    name: "the function, while its statement runs",
    of: () => statementChange(sql),
    kill: async (subject) => {
      const { release } = await parkStatement(subject);
      await endWorker("remediate");
      await release();
      await expect.poll(subject.changes, patient).toBe(1);
    },
    leaves: "applying",
  },
];

/** Kills at a point, and follows the change to its end. */
async function survive({ of, kill, leaves, ends = "succeeded", attempts }: Point): Promise<void> {
  const subject = await of();
  const state = async (): Promise<string> => (await runsOf(sql, subject))[0]?.state ?? "nothing";
  // No tick comes between the kill and the look at what it left.
  const letTick = await hold(
    holders,
    (holder) => holder`select pg_advisory_xact_lock(hashtextextended('runbook tick', 0))`,
  );
  try {
    await kill(subject);
    // A function whose client has gone goes on.
    await expect.poll(state, patient).toBe(leaves);
    if (leaves !== "applying") expect(await subject.changes()).toBe(leaves === "nothing" ? 0 : 1);
  } finally {
    await letTick();
  }

  const [interrupted] = await runsOf(sql, subject);
  if (leaves === "applying" && interrupted !== undefined) {
    await letTimePass(sql, interrupted);
    const stateAfterTick = async (): Promise<string> => {
      await tick(sql);
      return await state();
    };
    await expect.poll(stateAfterTick, { timeout: 60_000, interval: 1000 }).toBe(ends);
  }

  // The same request again makes the change if it was not made, and answers the one run.
  const again = await repeat(subject);
  expect(again).toMatchObject(
    ends === "abandoned"
      ? { status: 500, body: { details: { run_id: interrupted?.id, state: ends } } }
      : { status: 200, body: { state: ends } },
  );
  const runs = await runsOf(sql, subject);
  expect(runs.map((run) => run.state)).toEqual([ends]);
  if (interrupted !== undefined) expect(runs[0]?.id).toBe(interrupted.id);
  expect(await subject.changes()).toBe(ends === "abandoned" ? 0 : 1);
  const calls = await sql`select attempts, state from runbook.call where run_id = ${runs[0]?.id ?? null}`;
  expect([...calls]).toEqual(attempts === undefined ? [] : [{ attempts, state: "sent" }]);

  // Nothing of it stands in the way of the next.
  const next = await asAnother(subject);
  expect((await repeat(next)).status).toBe(subject.endpoint === "remediate" ? 202 : 200);
  const last = async (): Promise<string | undefined> => (await runsOf(sql, next)).at(-1)?.state;
  await expect.poll(last, patient).toBe(subject.endpoint === "remediate" ? "succeeded" : "no_op");
  expect((await runsOf(sql, next)).at(-1)?.id).not.toBe(runs[0]?.id);
}

describe("killed at one of ten points, a change is as it was or made once, and its run ends:", () => {
  it("the points are ten", () => {
    expect(new Set(points.map(({ name }) => name)).size).toBe(10);
  });

  it.each(points.map((point) => [point.name, point] as const))(
    "%s",
    (_name, point) => survive(point),
    180_000,
  );

  it("and when the statement is killed as well, its run is abandoned", async () => {
    await survive({
      name: "the function and the database's session, while the statement runs",
      of: () => statementChange(sql),
      kill: async (subject) => {
        const { pid, release } = await parkStatement(subject);
        await endWorker("remediate");
        await terminate(sql, pid);
        await release();
      },
      leaves: "applying",
      ends: "abandoned",
    });
  }, 180_000);
});
