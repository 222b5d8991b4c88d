const apiVersionHeader = "X-Supabase-Api-Version";
const apiVersion = "2024-01-01";

/** An answer that is not a success, as GoTrue words it: `code` and `message` are part of the wire format. */
export class AuthError extends Error {
  readonly status: number;
  readonly code: string;
  /** Why a password is weak; only with `weak_password`. */
  readonly reasons: readonly string[] | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { reasons?: string[]; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "AuthError";
    this.status = status;
    this.code = code;
    this.reasons = options.reasons;
  }
}

/** The few answers in the shape of OAuth 2, always status 400. */
export class OAuthError extends Error {
  readonly error: string;

  constructor(error: string, description: string) {
    super(description);
    this.name = "OAuthError";
    this.error = error;
  }
}

/** 400 `validation_failed`. */
export function invalid(message: string): AuthError {
  return new AuthError(400, "validation_failed", message);
}

/** 500 `unexpected_failure`; the cause is reported, never sent. */
export function unexpected(message: string, cause: unknown): AuthError {
  return new AuthError(500, "unexpected_failure", message, { cause });
}

/** Runs `work`; what it throws becomes a 500 with `message`, unless it already is an answer. */
export async function orUnexpected<T>(message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof AuthError || cause instanceof OAuthError) throw cause;
    throw unexpected(message, cause);
  }
}

/** The response to a request that threw `thrown`; whatever is no answer of ours is a 500 without its text. */
export function errorResponse(thrown: unknown, request: Request): Response {
  if (thrown instanceof OAuthError) {
    return Response.json({ error: thrown.error, error_description: thrown.message }, { status: 400 });
  }
  const error =
    thrown instanceof AuthError
      ? thrown
      : unexpected("Unexpected failure, please check server logs for more information", thrown);
  const weakness = error.reasons === undefined ? {} : { weak_password: { reasons: error.reasons } };
  const headers = { "x-sb-error-code": error.code };

  if (wantsNewShape(request)) {
    const body = { code: error.code, message: error.message, ...weakness };
    return Response.json(body, {
      status: error.status,
      headers: { ...headers, [apiVersionHeader]: apiVersion },
    });
  }
  const errorId = error.status >= 500 ? { error_id: crypto.randomUUID() } : {};
  const body = { code: error.status, error_code: error.code, msg: error.message, ...errorId, ...weakness };
  return Response.json(body, { status: error.status, headers });
}

function wantsNewShape(request: Request): boolean {
  const asked = request.headers.get(apiVersionHeader) ?? "";
  return /^\d{4}-\d{2}-\d{2}$/.test(asked) && !Number.isNaN(Date.parse(asked)) && asked >= apiVersion;
}
