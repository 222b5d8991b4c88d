import type { Entry } from "./catalog.ts";
import type { Probe, Statements } from "./database.ts";
import type { Exchange } from "./endpoint.ts";

/**
 * Refreshes the probes of an entry of the catalog and records them. Looking outside takes as long as it takes: where the
 * entry is known, the door is opened meanwhile, by `admit`. Who may not come in gets its refusal and learns nothing.
 * @param known the entry, where this worker has learned it before.
 * @returns what was seen; where it could not be recorded the exchange says why, and the caller must carry it.
 */
export async function lookOutside(
  exchange: Exchange,
  known: Entry | undefined,
  admit: (sql: Statements) => Promise<Entry>,
): Promise<Probe[]> {
  const { connection, probes } = exchange.worker;
  const due = known === undefined ? [] : probes.due(known.probes);
  if (known !== undefined && due.length === 0) return [];
  const looking = probes.look(due);
  const entry = await connection.transaction("read only", admit);
  const seen = known === undefined ? await probes.look(probes.due(entry.probes)) : await looking;
  exchange.unrecorded = await probes.record(connection.statements, seen);
  return seen;
}
