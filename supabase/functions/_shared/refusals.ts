import type { Caller } from "./caller.ts";
import type { Connection } from "./connection.ts";
import { toApiError } from "./database-errors.ts";
import type { ApiError, ErrorCode } from "./errors.ts";
import { recordRefusal } from "./run-statements.ts";

/** Refusals that somebody decided: by a right, a rule or a switch. The others are accidents and typing errors. */
const decisions: readonly ErrorCode[] = [
  "SESSION_ENDED",
  "NOT_A_MEMBER",
  "ROLE_REQUIRED",
  "PLAN_CHANGED",
  "IDEMPOTENCY_CONFLICT",
  "UNDO_REFUSED",
  "RUN_IN_PROGRESS",
  "TOO_SOON",
  "FROZEN",
];

/** Before the door everyone with an account of the application may knock: what they send is not kept. */
const outside: readonly ErrorCode[] = ["SESSION_ENDED", "NOT_A_MEMBER"];

/** What was asked for and refused. */
export interface Refused {
  caller: Caller;
  /** Of the remediation or endpoint. */
  name: string;
  params: Record<string, unknown>;
}

/** Answers as `work` does; what it refuses by a decision is recorded, after its transaction is gone. */
export async function recordingRefusals<T>(
  connection: Connection,
  asked: Refused,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = toApiError(thrown);
    if (decisions.includes(error.code)) await record(connection, asked, error);
    throw error;
  }
}

/** A record that cannot be made must not take the place of the answer. */
async function record(
  connection: Connection,
  { caller, name, params }: Refused,
  { code, message }: ApiError,
): Promise<void> {
  try {
    await recordRefusal(connection.statements, {
      claims: caller.claims,
      name,
      code,
      message,
      params: outside.includes(code) ? {} : params,
    });
  } catch {
    // The answer says what was refused, and the log's line has its code.
  }
}
