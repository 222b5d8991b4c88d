interface Definition {
  status: number;
  message: string;
  hint?: string;
  retryAfterSeconds?: number;
}

const definitions = {
  UNAUTHENTICATED: {
    status: 401,
    message: "The request has no valid credentials.",
    hint: "Send a user token in Authorization, or a secret key in apikey.",
  },
  SESSION_ENDED: {
    status: 401,
    message: "The session of this token has ended.",
    hint: "Sign in again.",
  },
  NOT_A_MEMBER: {
    status: 403,
    message: "This user is no member of the runbook.",
    hint: "An admin of the runbook can add a member.",
  },
  ROLE_REQUIRED: {
    status: 403,
    message: "The caller's role does not allow this.",
    hint: "Ask an admin of the runbook, or for the role.",
  },
  INVALID_BODY: { status: 400, message: "The request does not fit; the details name each problem." },
  METHOD_NOT_ALLOWED: {
    status: 405,
    message: "This endpoint does not answer this method.",
    hint: "The header Allow names the methods that it answers.",
  },
  BODY_TOO_LARGE: { status: 413, message: "The body is larger than 64 KiB." },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    message: "The body must be JSON.",
    hint: "Send content-type: application/json.",
  },
  NOT_FOUND: {
    status: 404,
    message: "What this request names does not exist.",
    hint: "Check the address and the parameters; GET remediation-runs lists the runs.",
  },
  UNKNOWN_ENTRY: {
    status: 404,
    message: "The runbook has no such entry.",
    hint: "diagnose takes the name of an issue, remediate that of a remediation.",
  },
  PLAN_CHANGED: {
    status: 409,
    message: "The world moved since the dry run; nothing was done.",
    hint: "Look at the new plan, and send its plan_hash.",
  },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    message: "This Idempotency-Key named another request before.",
    hint: "Take a new key for a new change.",
  },
  UNDO_REFUSED: {
    status: 409,
    message: "What the run left has been changed since; nothing was undone.",
    hint: "The details show the difference. Decide by hand.",
  },
  RUN_IN_PROGRESS: {
    status: 409,
    message: "A run for the same subject is under way.",
    hint: "Poll remediation-runs until it has ended.",
  },
  TOO_SOON: {
    status: 429,
    message: "It is too soon for this.",
    hint: "Wait as long as the details say.",
  },
  UPSTREAM_FAILED: {
    status: 502,
    message: "A service that the remediation called refused for good; the run says which.",
    hint: "Read the run's steps with remediation-runs.",
  },
  RUN_FAILED: {
    status: 500,
    message: "The remediation failed; its run says why.",
    hint: "Read the run with remediation-runs.",
  },
  REFUSED: {
    status: 409,
    message: "The runbook refuses this change; nothing was done.",
    hint: "Applying it again would be refused again.",
  },
  CANNOT_BE_PLANNED: {
    status: 409,
    message: "The application refuses this change, so it cannot be planned.",
    hint: "Nothing was changed. Applying it would fail the same way.",
  },
  DISK_FULL: {
    status: 503,
    message: "The disk of the database is full; nothing was changed.",
    hint: "Enlarge the disk or free space on it. Diagnoses still work.",
  },
  DATABASE_UNREACHABLE: {
    status: 503,
    message: "The database cannot be reached.",
    hint: "Is it paused, restarting or out of disk? The project's dashboard tells.",
    retryAfterSeconds: 10,
  },
  NO_CONNECTIONS: {
    status: 503,
    message: "The database accepts no further connections.",
    hint: "Set RUNBOOK_DB_URL to the pooler, or end idle connections.",
    retryAfterSeconds: 5,
  },
  READ_ONLY: {
    status: 503,
    message: "The database is in read-only mode.",
    hint: "It becomes so when the disk is nearly full. Diagnoses still work.",
  },
  LOCKED: {
    status: 503,
    message: "Something else holds a lock that this needs; nothing was changed.",
    hint: "Try again in a moment. A long transaction may have to be ended first.",
    retryAfterSeconds: 2,
  },
  TIMED_OUT: {
    status: 503,
    message: "The database took too long, and the attempt was undone.",
    hint: "Try again in a moment.",
    retryAfterSeconds: 5,
  },
  FROZEN: { status: 503, message: "Changes are frozen." },
  VERSION_MISMATCH: {
    status: 503,
    message: "The functions and the database's schema runbook have different versions.",
    hint: "Bring the older side up: supabase functions deploy, or supabase db push.",
  },
  INTERNAL: {
    status: 500,
    message: "Something failed inside.",
    hint: "The function's log has the cause under this request_id.",
  },
} as const satisfies Record<string, Definition>;

/** The codes that a failure body can carry. */
export type ErrorCode = keyof typeof definitions;

/** One problem of a request: where it is (empty for the whole body) and what it is. */
export interface Problem {
  path: string;
  message: string;
}

/** What may be said beyond the code's own text. */
export interface ApiErrorOptions {
  message?: string | undefined;
  hint?: string | undefined;
  /** Sent to the caller as JSON. */
  details?: unknown;
  headers?: Record<string, string>;
  /** For the log only: a constant word about why. */
  reason?: string;
  /** For the log only. */
  cause?: unknown;
}

/** A failure as the caller sees it. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly hint: string | undefined;
  readonly details: unknown;
  readonly headers: Record<string, string>;
  readonly reason: string | undefined;

  constructor(code: ErrorCode, options: ApiErrorOptions = {}) {
    const definition: Definition = definitions[code];
    super(options.message ?? definition.message, { cause: options.cause });
    this.code = code;
    this.status = definition.status;
    this.hint = options.hint ?? definition.hint;
    this.details = options.details;
    const retryAfter = definition.retryAfterSeconds;
    this.headers = {
      ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
      ...options.headers,
    };
    this.reason = options.reason;
  }

  /** The failure body: `{ code, message, hint?, details?, request_id }`. */
  body(requestId: string): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.details === undefined ? {} : { details: this.details }),
      request_id: requestId,
    };
  }
}

/** A request that does not fit, with the path of each problem. */
export function invalidBody(problems: readonly Problem[], hint?: string): ApiError {
  // Paths come from the caller: they are shown, but not at any length.
  const details = problems.slice(0, 20).map(({ path, message }) => ({ path: path.slice(0, 200), message }));
  return new ApiError("INVALID_BODY", { hint, details });
}
