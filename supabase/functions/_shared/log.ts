import postgres from "postgres";

/** How a caller proved who they are; never who. */
export type ActorKind = "user" | "secret_key" | "ticket" | "none";

/** One line of the log. Holds no personal data: no e-mail, no id of a person, no token, nothing of the body. */
export interface LogRecord {
  endpoint: string;
  method: string;
  status: number;
  /** The error code, if it failed. */
  code?: string | undefined;
  took_ms: number;
  request_id: string;
  actor: ActorKind;
  /** A constant word about why a caller was refused. */
  reason?: string | undefined;
  /** Why a probe or report could not be recorded, though the request was answered. */
  unrecorded?: string | undefined;
  /** What failed inside. */
  cause?: Record<string, unknown> | undefined;
  execution_id?: string | undefined;
}

/** Where lines go. */
export type LogSink = (line: string) => void;

/** Writes one request as one line of JSON. */
export function logRequest(record: LogRecord, sink: LogSink): void {
  sink(JSON.stringify({ time: new Date().toISOString(), ...record }));
}

/**
 * What a log may hold of a failure. The text and detail of a database error are left out, since they quote values; its
 * SQLSTATE, the objects it names and the functions it came through say where it was.
 */
export function describeCause(error: unknown): Record<string, unknown> {
  if (error instanceof postgres.PostgresError) {
    return {
      sqlstate: error.code,
      severity: error.severity,
      routine: error.routine,
      schema: error.schema_name,
      table: error.table_name,
      column: error.column_name,
      constraint: error.constraint_name,
      where: error.where?.split("\n").filter((line) => /^(PL\/pgSQL|SQL) function /.test(line)),
    };
  }
  if (error instanceof Error) {
    return {
      name: error.name,
      ...("code" in error && typeof error.code === "string" ? { code: error.code } : {}),
      message: hideAddresses(error.message),
      stack: hideAddresses(error.stack ?? "")
        .split("\n")
        .slice(1, 8),
    };
  }
  return { name: typeof error };
}

function hideAddresses(text: string): string {
  return text.replace(/[^\s"'<>]+@[^\s"'<>]+/g, "[address]").slice(0, 2000);
}
