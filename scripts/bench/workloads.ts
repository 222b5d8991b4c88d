import type { HttpCalls } from "./http-calls.ts";
import type { Subject } from "./measure.ts";
import type { Blocks, SqlCalls } from "./sql-calls.ts";

/** A call that can be made over HTTP and as SQL alone. */
export interface Workload {
  name: string;
  prepare?(): Promise<void>;
  call(by: Calls): Promise<Record<string, unknown>>;
  /** What the answer says when the call did what its name says. */
  expected: Record<string, string>;
}

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
    },
  };
}
