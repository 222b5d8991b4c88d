import postgres from "postgres";
import { expect, test } from "vitest";
import { describeCause, logRequest } from "./log.ts";

test("a request is one line of JSON with its time", () => {
  const lines: string[] = [];
  const record = {
    endpoint: "diagnose-login",
    method: "POST",
    status: 200,
    took_ms: 1.2,
    request_id: "r1",
    actor: "user" as const,
  };
  logRequest(record, (line) => lines.push(line));
  expect(lines).toHaveLength(1);
  const { time, ...rest } = JSON.parse(lines[0] ?? "");
  expect(new Date(time).getTime()).toBeGreaterThan(0);
  expect(rest).toEqual(record);
});

test("of a database error the place is logged, its text is not", () => {
  const error = Object.assign(new postgres.PostgresError(""), {
    message: "Key (email)=(someone@demo.example) already exists.",
    detail: "Someone Else",
    code: "23505",
    severity: "ERROR",
    routine: "_bt_check_unique",
    table_name: "run",
    constraint_name: "run_pkey",
    where:
      "unnamed portal with parameters: $1 = 'Someone'\nPL/pgSQL function runbook.enter(jsonb,text) line 7 at RAISE",
  });
  const described = describeCause(error);
  expect(described).toMatchObject({
    sqlstate: "23505",
    table: "run",
    constraint: "run_pkey",
    where: ["PL/pgSQL function runbook.enter(jsonb,text) line 7 at RAISE"],
  });
  expect(JSON.stringify(described)).not.toMatch(/someone/i);
});

test("addresses in the text of other errors are hidden", () => {
  const described = JSON.stringify(describeCause(new Error("no route for <someone@demo.example> here")));
  expect(described).toContain("[address]");
  expect(described).not.toContain("someone");
});

test("what is thrown and is no error is named by its type only", () => {
  expect(describeCause("someone@demo.example")).toEqual({ name: "string" });
});
