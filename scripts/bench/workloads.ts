import { z } from "zod";
import type { HttpCalls } from "./http-calls.ts";
import type { Subject } from "./measure.ts";
import { mistypedPerson, unconfirmedPerson } from "./million-users.ts";
import type { Blocks, SqlCalls } from "./sql-calls.ts";

/** A call that can be made over HTTP and as SQL alone. */
export interface Workload {
  name: string;
  prepare?(): Promise<void>;
  call(by: Calls): Promise<Record<string, unknown>>;
  /** What the answer says when the call did what its name says. */
  expected: Record<string, string>;
  /** A code that a diagnosis must find. */
  finding?: string;
}

const findings = z.object({ findings: z.array(z.object({ code: z.string() })) });

/** What the HTTP calls and the SQL calls have in common. */
export type Calls = Pick<SqlCalls & HttpCalls, "diagnoseLogin" | "unblockLogin" | "healthCheck">;

/** People of the demo school. */
const blocked = "blocked@demo.example";
const healthy = "ok@demo.example";
const blockedAnew = "student001@demo.example";

const reason = "measured by npm run bench";

/** The calls that are measured. */
export function workloads(blocks: Blocks): Workload[] {
  return [
    {
      name: "diagnose-login",
      call: (by) => by.diagnoseLogin(blocked),
      expected: { verdict: "problem" },
    },
    {
      name: "unblock-login, dry run",
      call: (by) => by.unblockLogin(blocked, null),
      expected: { state: "planned" },
    },
    {
      name: "unblock-login, nothing to do",
      call: (by) => by.unblockLogin(healthy, reason),
      expected: { state: "no_op" },
    },
    {
      name: "unblock-login, applied",
      prepare: () => blocks.block(blockedAnew),
      call: (by) => by.unblockLogin(blockedAnew, reason),
      expected: { state: "succeeded" },
    },
    { name: "health-check", call: (by) => by.healthCheck(), expected: {} },
  ];
}

/** The calls that are measured among many users, another person each time. */
export function crowdWorkloads(): Workload[] {
  let calls = 0;
  const next = (): number => {
    calls += 1;
    return calls;
  };
  return [
    {
      name: "an account",
      call: (by) => by.diagnoseLogin(unconfirmedPerson(next())),
      expected: { verdict: "problem" },
      finding: "unconfirmed",
    },
    {
      name: "a mistyped address",
      call: (by) => by.diagnoseLogin(mistypedPerson(next())),
      expected: { verdict: "problem" },
      finding: "no_such_user",
    },
  ];
}

/** The workload as something to measure, by one way of calling. */
export function subjectOf(workload: Workload, name: string, by: Calls): Subject {
  return {
    name,
    ...(workload.prepare === undefined ? {} : { prepare: workload.prepare }),
    call: async () => {
      const answer = await workload.call(by);
      for (const [key, value] of Object.entries(workload.expected)) {
        if (answer[key] !== value)
          throw new Error(`${name}: ${key} is ${JSON.stringify(answer[key])} and not "${value}".`);
      }
      if (workload.finding === undefined) return;
      if (!findings.parse(answer).findings.some(({ code }) => code === workload.finding))
        throw new Error(`${name}: ${workload.finding} was not found.`);
    },
  };
}
