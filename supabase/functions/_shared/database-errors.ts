import postgres from "postgres";
import * as z from "zod";
import { ApiError, type ApiErrorOptions, type ErrorCode } from "./errors.ts";

/** SQLSTATEs that mean one thing whoever raised them. The prefix `08` stands for its whole class. */
const codes: Record<string, ErrorCode> = {
  RB400: "INVALID_BODY",
  RB401: "SESSION_ENDED",
  RB403: "NOT_A_MEMBER",
  RB404: "UNKNOWN_ENTRY",
  RB405: "ROLE_REQUIRED",
  RB408: "UNDO_REFUSED",
  RB409: "PLAN_CHANGED",
  RB410: "RUN_IN_PROGRESS",
  RB419: "IDEMPOTENCY_CONFLICT",
  RB423: "FROZEN",
  RB429: "TOO_SOON",
  RB503: "VERSION_MISMATCH",
  P0002: "NOT_FOUND",
  // A right that the caller's role lacks.
  "42501": "ROLE_REQUIRED",
  "25006": "READ_ONLY",
  "53100": "DISK_FULL",
  "53300": "NO_CONNECTIONS",
  "55P03": "LOCKED",
  // A deadlock and a conflict between transactions are over when they are reported: trying again helps.
  "40P01": "LOCKED",
  "40001": "LOCKED",
  "57014": "TIMED_OUT",
  "25P04": "TIMED_OUT",
  "57P01": "DATABASE_UNREACHABLE",
  "57P02": "DATABASE_UNREACHABLE",
  "57P03": "DATABASE_UNREACHABLE",
  "57P05": "DATABASE_UNREACHABLE",
  "25P03": "DATABASE_UNREACHABLE",
  // The login or the database of the URL is wrong: not reachable with what this function was given.
  "28000": "DATABASE_UNREACHABLE",
  "28P01": "DATABASE_UNREACHABLE",
  "3D000": "DATABASE_UNREACHABLE",
};

const blocking = z.object({ blockers: z.array(z.unknown()) });
const waiting = z.object({ wait_s: z.number() });
const refused = z.object({ refused: z.literal(true) });

/** What postgres.js and the sockets below it call a connection that was there and is gone. */
const droppedCodes = [
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNABORTED",
  "ECONNRESET",
  "EPIPE",
];

/** What they call a connection that is not there, for whichever reason. */
const connectionCodes = [
  ...droppedCodes,
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "ETIMEDOUT",
];

/**
 * What a caller may learn of a failure: by its SQLSTATE or the connection's error code, never by its text. An unknown
 * failure is `INTERNAL`; the cause is kept for the log.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof postgres.PostgresError) return fromSqlstate(error);
  if (isConnectionLost(error)) return new ApiError("DATABASE_UNREACHABLE", { cause: error });
  return new ApiError("INTERNAL", { cause: error });
}

/** Whether the connection is gone, so that nothing more can be asked on it. */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof postgres.PostgresError) return ["FATAL", "PANIC"].includes(error.severity);
  if (error instanceof ApiError) return error.code === "DATABASE_UNREACHABLE";
  if (!(error instanceof Error)) return false;
  // Several addresses were tried: Node reports them together.
  if (error instanceof AggregateError) return error.errors.some(isConnectionLost);
  return "code" in error && typeof error.code === "string" && connectionCodes.includes(error.code);
}

/** Whether a connection that had been made was ended by the other side, so that a new one may well be had. */
export function wasDropped(error: unknown): boolean {
  if (error instanceof postgres.PostgresError) return ["57P01", "57P02", "57P05"].includes(error.code);
  if (!(error instanceof Error) || !("code" in error)) return false;
  return typeof error.code === "string" && droppedCodes.includes(error.code);
}

function fromSqlstate(error: postgres.PostgresError): ApiError {
  if (error.code === "3F000") {
    return new ApiError("VERSION_MISMATCH", {
      message: "The database has no schema runbook.",
      hint: "Apply the migrations: supabase db push.",
      cause: error,
    });
  }
  // Supavisor has no SQLSTATE for "too many clients": it ends the connection with a fatal XX000.
  if (error.code === "XX000" && error.severity === "FATAL")
    return new ApiError("NO_CONNECTIONS", { cause: error });
  if (isRefusal(error)) {
    return new ApiError(error.code === "P0002" ? "NOT_FOUND" : "REFUSED", {
      message: error.message,
      hint: error.hint,
      cause: error,
    });
  }
  const code = codes[error.code] ?? (error.code.startsWith("08") ? "DATABASE_UNREACHABLE" : undefined);
  if (code === undefined) return new ApiError("INTERNAL", { cause: error });
  return new ApiError(code, { ...ownWords(error), cause: error });
}

/**
 * A failure of a dry run. What the application raises while its change is tried must not read like a sentence about
 * the caller, nor like a defect of the runbook.
 */
export function planError(error: unknown): unknown {
  if (!(error instanceof postgres.PostgresError) || isRefusal(error)) return error;
  const { code } = toApiError(error);
  if (code !== "INTERNAL" && error.code !== "42501") return error;
  return new ApiError("CANNOT_BE_PLANNED", { details: { sqlstate: error.code }, cause: error });
}

/** What a remediation refuses on purpose says so in its details. */
function isRefusal(error: postgres.PostgresError): boolean {
  return refused.safeParse(parseDetails(error.detail)).success;
}

/** Errors of class RB are raised by the runbook for its callers: their text and details are meant to be read. */
function ownWords(error: postgres.PostgresError): ApiErrorOptions {
  // The engine says who holds a lock; Postgres alone does not.
  if (error.code === "55P03")
    return blocking.safeParse(parseDetails(error.detail)).success ? said(error) : {};
  if (!/^RB(400|404|405|408|409|410|412|419|423|429|503)$/.test(error.code)) return {};
  // The text of RB400 says less than the details.
  if (error.code === "RB400") return { details: parseDetails(error.detail) };
  return said(error);
}

function said(error: postgres.PostgresError): ApiErrorOptions {
  const details = parseDetails(error.detail);
  return { message: error.message, hint: error.hint, details, headers: retryAfter(details) };
}

/** RB429 says in its details how long to wait. */
function retryAfter(details: unknown): Record<string, string> {
  const { data } = waiting.safeParse(details);
  return data === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(data.wait_s))) };
}

function parseDetails(detail: string | undefined): unknown {
  if (detail === undefined) return undefined;
  try {
    return JSON.parse(detail);
  } catch {
    return undefined;
  }
}
