import type { Caller } from "./caller.ts";
import { enter, type Limits, type Statements } from "./database.ts";
import { ApiError } from "./errors.ts";
import { VERSION } from "./version.ts";

/**
 * Begins a transaction of a request: SQL finds the member, sets the role and says its version.
 * @throws ApiError 401, 403, or 503 `VERSION_MISMATCH` when the schema is not of these functions' version.
 */
export async function passDoor(
  sql: Statements,
  caller: Caller,
  requestId: string,
  limits: Limits,
): Promise<void> {
  const { version } = await enter(sql, caller.claims, requestId, limits);
  if (version === VERSION) return;
  throw new ApiError("VERSION_MISMATCH", {
    message: `The functions have version ${VERSION} and the database's schema runbook has ${version}.`,
    details: { functions: VERSION, schema: version },
  });
}
