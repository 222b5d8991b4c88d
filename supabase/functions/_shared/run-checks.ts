import type { Transaction } from "./connection.ts";
import { runChecks as sendChecks } from "./database.ts";
import { toApiError } from "./database-errors.ts";

/** An entry of a report. */
export type Entry = Record<string, unknown>;

/** After this long the remaining checks are skipped. */
const budgetMs = 10_000;

/**
 * Runs checks, each within the time limit of the transaction's statements. One statement asks for all of them, since fifty
 * of them take longer than the checks do; the limit then strikes a check that had only a part of it, or hangs. So those
 * before it are kept, and the others asked for again, it first. Never rejects; what cannot be run is an `error`.
 */
export async function runChecks(transaction: Transaction, checks: readonly string[]): Promise<Entry[]> {
  const startedAt = performance.now();
  const entries: Entry[] = [];
  let waiting = checks;
  let atOnce = checks.length;
  while (waiting.length > 0 && performance.now() - startedAt < budgetMs) {
    const asked = waiting.slice(0, atOnce);
    const answered = await askFor(transaction, asked);
    if ("code" in answered && asked.length > 1) {
      // Nobody knows which one it was.
      atOnce = 1;
      continue;
    }
    const kept =
      "code" in answered ? [] : answered.entries.slice(0, Math.max(1, cancelledAt(answered.entries)));
    if (kept.length === 0) {
      const reason =
        "code" in answered ? `could not be run: ${answered.code}` : "The catalog has no such check.";
      kept.push(...asked.map((check) => entryWithout(check, "error", answered.tookMs, reason)));
    }
    entries.push(...kept);
    const done = new Set(kept.map(({ check }) => check));
    waiting = waiting.filter((check) => !done.has(check));
  }
  return [...entries, ...waiting.map((check) => entryWithout(check, "skipped", 0, "budget spent"))];
}

/** The place of the check that the time limit struck; behind the last one when it struck none. */
function cancelledAt(entries: readonly Entry[]): number {
  const place = entries.findIndex(({ sqlstate }) => sqlstate === "57014");
  return place === -1 ? entries.length : place;
}

/** `run_checks` raises nothing of its own; what still comes, such as the time limit between two checks, is undone. */
async function askFor(
  transaction: Transaction,
  checks: readonly string[],
): Promise<({ entries: Entry[] } | { code: string }) & { tookMs: number }> {
  const startedAt = performance.now();
  const tookMs = (): number => Math.round(performance.now() - startedAt);
  try {
    const entries = await transaction.attempt((statements) => sendChecks(statements, checks));
    return { entries, tookMs: tookMs() };
  } catch (error) {
    return { code: toApiError(error).code, tookMs: tookMs() };
  }
}

function entryWithout(check: string, status: string, tookMs: number, reason: string): Entry {
  return { check, status, value: null, threshold: null, took_ms: tookMs, findings: [], reason };
}
