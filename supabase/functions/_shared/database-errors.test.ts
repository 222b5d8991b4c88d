import postgres from "postgres";
import { describe, expect, test } from "vitest";
import { isConnectionLost, toApiError, wasDropped } from "./database-errors.ts";
import { ApiError } from "./errors.ts";

function databaseError(fields: Record<string, string>): postgres.PostgresError {
  return Object.assign(new postgres.PostgresError(""), { message: "secret text", severity: "ERROR" }, fields);
}

test.each([
  ["53300", "NO_CONNECTIONS", 503],
  ["57P01", "DATABASE_UNREACHABLE", 503],
  ["57P03", "DATABASE_UNREACHABLE", 503],
  ["08006", "DATABASE_UNREACHABLE", 503],
  ["08P01", "DATABASE_UNREACHABLE", 503],
  ["28P01", "DATABASE_UNREACHABLE", 503],
  ["25006", "READ_ONLY", 503],
  ["55P03", "LOCKED", 503],
  ["40P01", "LOCKED", 503],
  ["57014", "TIMED_OUT", 503],
  ["25P04", "TIMED_OUT", 503],
  ["RB401", "SESSION_ENDED", 401],
  ["RB403", "NOT_A_MEMBER", 403],
  ["RB405", "ROLE_REQUIRED", 403],
  ["42501", "ROLE_REQUIRED", 403],
  ["RB400", "INVALID_BODY", 400],
  ["RB404", "UNKNOWN_ENTRY", 404],
  ["P0002", "NOT_FOUND", 404],
  ["RB408", "UNDO_REFUSED", 409],
  ["RB409", "PLAN_CHANGED", 409],
  ["RB410", "RUN_IN_PROGRESS", 409],
  ["RB419", "IDEMPOTENCY_CONFLICT", 409],
  ["RB423", "FROZEN", 503],
  ["RB429", "TOO_SOON", 429],
  ["RB503", "VERSION_MISMATCH", 503],
  ["3F000", "VERSION_MISMATCH", 503],
  ["P0001", "INTERNAL", 500],
  ["22P02", "INTERNAL", 500],
  ["RB999", "INTERNAL", 500],
])("SQLSTATE %s is %s", (sqlstate, code, status) => {
  expect(toApiError(databaseError({ code: sqlstate }))).toMatchObject({ code, status });
});

test("a connection is lost by what is fatal, not by what fails in a statement", () => {
  expect(isConnectionLost(databaseError({ code: "57P01", severity: "FATAL" }))).toBe(true);
  // Such as a foreign server that cannot be reached from within a function.
  expect(isConnectionLost(databaseError({ code: "08001", severity: "ERROR" }))).toBe(false);
});

test("a fatal internal error is a pooler without free clients; one that is not fatal is internal", () => {
  expect(toApiError(databaseError({ code: "XX000", severity: "FATAL" })).code).toBe("NO_CONNECTIONS");
  expect(toApiError(databaseError({ code: "XX000" })).code).toBe("INTERNAL");
});

describe("what the caller may read", () => {
  test("text and details of the runbook's own errors", () => {
    const error = databaseError({
      code: "RB405",
      message: "This needs the role operator.",
      hint: "Ask an admin.",
      detail: '{"required":"operator","has":"viewer"}',
    });
    expect(toApiError(error).body("r1")).toEqual({
      code: "ROLE_REQUIRED",
      message: "This needs the role operator.",
      hint: "Ask an admin.",
      details: { required: "operator", has: "viewer" },
      request_id: "r1",
    });
  });

  test.each(["23505", "42501", "P0002", "53300", "RB401", "RB403", "XX000"])("nothing of %s", (code) => {
    const body = toApiError(databaseError({ code, detail: '"secret detail"', hint: "secret hint" })).body(
      "r1",
    );
    expect(JSON.stringify(body)).not.toContain("secret");
  });

  test("how long to wait, when it is too soon", () => {
    const error = toApiError(databaseError({ code: "RB429", detail: '{"wait_s": 41.2}' }));
    expect(error.headers).toEqual({ "retry-after": "42" });
    expect(error.details).toEqual({ wait_s: 41.2 });
  });

  test("who holds a lock where the engine says so, and nothing where Postgres does", () => {
    const named = { code: "55P03", message: "A row is locked by 7.", detail: '{"blockers":[{"pid":7}]}' };
    expect(toApiError(databaseError(named))).toMatchObject({
      message: "A row is locked by 7.",
      details: { blockers: [{ pid: 7 }] },
      headers: { "retry-after": "2" },
    });
    expect(toApiError(databaseError({ code: "55P03" })).message).not.toContain("secret");
  });

  test("a detail that is no JSON is left out", () => {
    expect(toApiError(databaseError({ code: "RB404", detail: "(secret" })).details).toBeUndefined();
  });
});

test.each(["CONNECT_TIMEOUT", "CONNECTION_CLOSED", "ECONNREFUSED", "ENOTFOUND", "ECONNRESET"])(
  "%s is a database that cannot be reached",
  (code) => {
    const error = Object.assign(new Error("connect 10.0.0.1:5432"), { code });
    expect(toApiError(error)).toMatchObject({
      code: "DATABASE_UNREACHABLE",
      headers: { "retry-after": "10" },
    });
    expect(toApiError(new AggregateError([error])).code).toBe("DATABASE_UNREACHABLE");
    expect(isConnectionLost(error)).toBe(true);
  },
);

test("a connection that was dropped is told from one that cannot be made", () => {
  const networkError = (code: string): Error => Object.assign(new Error("x"), { code });
  expect(wasDropped(networkError("CONNECTION_CLOSED"))).toBe(true);
  expect(wasDropped(databaseError({ code: "57P01", severity: "FATAL" }))).toBe(true);
  expect(wasDropped(networkError("ECONNREFUSED"))).toBe(false);
  expect(wasDropped(networkError("CONNECT_TIMEOUT"))).toBe(false);
  expect(wasDropped(databaseError({ code: "53300", severity: "FATAL" }))).toBe(false);
});

test("anything else is internal, with its cause for the log", () => {
  const cause = new TypeError("x is not a function");
  const error = toApiError(cause);
  expect(error.code).toBe("INTERNAL");
  expect(error.cause).toBe(cause);
  expect(JSON.stringify(error.body("r1"))).not.toContain("x is not");
  expect(toApiError("thrown text").code).toBe("INTERNAL");
  expect(isConnectionLost(cause)).toBe(false);
});

test("a failure that is already the caller's is kept", () => {
  const error = new ApiError("FROZEN");
  expect(toApiError(error)).toBe(error);
});
