/** Token buckets by name: each holds `capacity` and refills evenly over `perSeconds`. Kept in memory, as GoTrue does. */
export class RequestLimiter {
  readonly #capacity: number;
  readonly #perSeconds: number;
  readonly #now: () => Date;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(capacity: number, perSeconds: number, now: () => Date) {
    this.#capacity = capacity;
    this.#perSeconds = perSeconds;
    this.#now = now;
  }

  /** Takes one from the bucket; false when it is empty. */
  take(name: string): boolean {
    const at = this.#now().getTime();
    const bucket = this.#buckets.get(name) ?? { left: this.#capacity, at };
    const refilled = (((at - bucket.at) / 1000) * this.#capacity) / this.#perSeconds;
    const left = Math.min(this.#capacity, bucket.left + refilled);
    this.#buckets.set(name, { left: left >= 1 ? left - 1 : left, at });
    return left >= 1;
  }
}
