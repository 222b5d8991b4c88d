/** What is told of many measured times, in the unit they were measured in. */
export interface Summary {
  count: number;
  p50: number;
  p99: number;
  min: number;
  max: number;
}

/**
 * The percentile by nearest rank: the smallest value that at least `percent` per cent of all values do not exceed. It is always
 * one of the values, never something between two.
 * @throws RangeError without values, or with a percentage outside 0 < percent <= 100.
 */
export function percentile(values: readonly number[], percent: number): number {
  if (!(percent > 0 && percent <= 100))
    throw new RangeError(`${percent} is no percentage from above 0 to 100.`);
  const sorted = values.toSorted((left, right) => left - right);
  const value = sorted[Math.ceil((percent * sorted.length) / 100) - 1];
  if (value === undefined) throw new RangeError("There is no percentile of nothing.");
  return value;
}

/** Sums up measured times. @throws RangeError without any. */
export function summarize(values: readonly number[]): Summary {
  return {
    count: values.length,
    p50: percentile(values, 50),
    p99: percentile(values, 99),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}
