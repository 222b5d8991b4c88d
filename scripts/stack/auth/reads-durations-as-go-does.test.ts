import { expect, test } from "vitest";
import { parseGoDuration } from "./go-duration.ts";

test.each([
  ["24h", 86_400_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["1h15m30.918s", 4_530_918],
  ["100ms", 100],
  ["1us", 0.001],
  ["2µs", 0.002],
  ["876000h", 876_000 * 3_600_000],
  [".5s", 500],
  ["5.s", 5000],
  ["0", 0],
  ["+5s", 5000],
  ["-1m", -60_000],
  ["3s3s", 6000],
])("%s lasts %d ms", (text, milliseconds) => {
  expect(parseGoDuration(text)).toBeCloseTo(milliseconds, 6);
});

test.each([
  ["", /invalid duration/],
  ["-", /invalid duration/],
  ["forever", /invalid duration/],
  ["none", /invalid duration/],
  ["h", /invalid duration/],
  [".h", /invalid duration/],
  [" 24h", /invalid duration/],
  ["24", /missing unit/],
  ["1h30", /missing unit/],
  ["7d", /unknown unit "d"/],
  ["24H", /unknown unit "H"/],
  ["1h 30m", /unknown unit "h "/],
  ["toString", /invalid duration/],
  ["1toString", /unknown unit "toString"/],
  ["2562048h", /invalid duration/],
])("%j is none", (text, message) => {
  expect(() => parseGoDuration(text)).toThrow(message);
});
