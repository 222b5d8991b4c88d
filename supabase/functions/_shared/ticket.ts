import { unauthenticated } from "./caller.ts";
import type { Connection } from "./connection.ts";
import { redeemTicket } from "./database.ts";
import { toApiError } from "./database-errors.ts";

/** The header in which the schedule's one-time ticket comes. */
export const ticketHeader = "x-runbook-ticket";

/**
 * Uses a ticket up.
 * @throws ApiError 401 `UNAUTHENTICATED` for one that is unknown, used, too old or for another endpoint.
 */
export async function redeem(connection: Connection, ticket: string, endpoint: string): Promise<void> {
  if (!/^[\x21-\x7e]{16,256}$/.test(ticket)) throw unauthenticated("ticket_refused");
  try {
    await connection.transaction("as configured", (transaction) =>
      redeemTicket(transaction, ticket, endpoint),
    );
  } catch (error) {
    if (toApiError(error).code === "SESSION_ENDED") throw unauthenticated("ticket_refused");
    throw error;
  }
}
