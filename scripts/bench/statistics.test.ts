import { describe, expect, it } from "vitest";
import { percentile, summarize } from "./statistics.ts";

describe("percentile by nearest rank", () => {
  const five = [50, 15, 40, 20, 35];

  it.each([
    [5, 15],
    [20, 15],
    [21, 20],
    [40, 20],
    [50, 35],
    [99, 50],
    [100, 50],
  ])("takes the value at the rank of %i per cent", (percent, expected) => {
    expect(percentile(five, percent)).toBe(expected);
  });

  it("takes the lower of the two middle values as the median of an even count", () => {
    expect(percentile([4, 1, 3, 2], 50)).toBe(2);
  });

  it("is the value at rank 198 of 200 at 99 per cent", () => {
    const values = Array.from({ length: 200 }, (_, index) => index + 1);
    expect(percentile(values, 99)).toBe(198);
  });

  it("sorts by number, not by text, and leaves its input alone", () => {
    const values = [10, 9, 100];
    expect(percentile(values, 100)).toBe(100);
    expect(values).toEqual([10, 9, 100]);
  });

  it("refuses what has no answer", () => {
    expect(() => percentile([], 50)).toThrow(RangeError);
    expect(() => percentile([1], 0)).toThrow(RangeError);
    expect(() => percentile([1], 101)).toThrow(RangeError);
  });
});

describe("summarize", () => {
  it("names count, percentiles and extremes", () => {
    expect(summarize([3, 1, 2])).toEqual({ count: 3, p50: 2, p99: 3, min: 1, max: 3 });
  });
});
