const nanosecondsPerUnit: ReadonlyMap<string, number> = new Map([
  ["ns", 1],
  ["us", 1e3],
  ["\u00b5s", 1e3], // micro sign
  ["\u03bcs", 1e3], // Greek mu
  ["ms", 1e6],
  ["s", 1e9],
  ["m", 60e9],
  ["h", 3600e9],
]);

// Go counts in a signed 64-bit number of nanoseconds: a little over 292 years.
const longest = 2 ** 63;

/**
 * Reads a duration as Go's `time.ParseDuration` does (`1h30m`, `-1.5h`, `0`), in milliseconds.
 * Throws an error with Go's message; there is no unit for days.
 */
export function parseGoDuration(text: string): number {
  const quoted = JSON.stringify(text);
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw new Error(`time: invalid duration ${quoted}`);

  let nanoseconds = 0;
  while (rest !== "") {
    const digits = /^(?:\d+\.?\d*|\.\d+)/.exec(rest)?.[0];
    if (digits === undefined) throw new Error(`time: invalid duration ${quoted}`);
    rest = rest.slice(digits.length);
    const unit = /^[^\d.]*/.exec(rest)?.[0] ?? "";
    if (unit === "") throw new Error(`time: missing unit in duration ${quoted}`);
    const factor = nanosecondsPerUnit.get(unit);
    if (factor === undefined)
      throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${quoted}`);
    rest = rest.slice(unit.length);
    nanoseconds += Number.parseFloat(digits) * factor;
    if (nanoseconds >= longest) throw new Error(`time: invalid duration ${quoted}`);
  }
  return (sign * nanoseconds) / 1e6;
}
