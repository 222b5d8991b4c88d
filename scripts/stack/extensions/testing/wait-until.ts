import { setTimeout as sleep } from "node:timers/promises";

/** Asks every 20 ms until the answer is not undefined; fails with the question after a minute. */
export async function waitUntil<T>(question: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 60_000;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await sleep(20);
  }
  throw new Error(`In vain waited until ${question}.`);
}
