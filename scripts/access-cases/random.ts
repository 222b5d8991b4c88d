/** A source of chance that gives the same numbers for the same seed on every machine. */
export interface Random {
  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number;
  /** True in this share of calls. */
  chance(share: number): boolean;
  /** One of the list; throws when it is empty. */
  pick<T>(list: readonly T[]): T;
  /** Each of the list with this share, in its order. */
  some<T>(list: readonly T[], share: number): T[];
  /** One of the values, as often as its weight says. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T;
}

/** Makes a source of chance from a seed; any whole number will do. */
export function createRandom(seed: number): Random {
  // mulberry32: 32 bits of state are plenty for choosing.
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  const pick = <T>(list: readonly T[]): T => {
    const index = integer(0, list.length - 1);
    // Not by index: a value that is there may be undefined.
    for (const [position, value] of list.entries()) if (position === index) return value;
    throw new Error("There is nothing to pick from.");
  };
  return {
    integer,
    chance: (share) => next() < share,
    pick,
    some: (list, share) => list.filter(() => next() < share),
    weighted: (choices) => {
      let left = next() * choices.reduce((sum, [weight]) => sum + weight, 0);
      const chosen = choices.find(([weight]) => {
        left -= weight;
        return left < 0;
      });
      return chosen === undefined ? pick(choices)[1] : chosen[1];
    },
  };
}

/** The seed of the `index`th world of a run, so that it can be made again alone. */
export function seedOf(seed: number, index: number): number {
  return (Math.imul(seed, 0x9e3779b1) + Math.imul(index, 0x85ebca6b)) >>> 0;
}
