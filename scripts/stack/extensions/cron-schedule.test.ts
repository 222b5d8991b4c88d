import { describe, expect, it } from "vitest";
import { nextDue } from "./cron-schedule.ts";

/** The next `count` due times of a pattern, as text. */
function dueTimes(pattern: string, domAndDow: boolean, after: string, count: number): string[] {
  const times: string[] = [];
  let last: Date | null = new Date(after);
  for (let round = 0; round < count && last !== null; round += 1) {
    last = nextDue({ kind: "minutes", pattern, dom_and_dow: domAndDow }, last);
    if (last !== null) times.push(last.toISOString());
  }
  return times;
}

describe("nextDue", () => {
  it("counts in GMT and from the next full minute on", () => {
    expect(dueTimes("0,30 3 * * *", true, "2026-11-23T03:00:00Z", 2)).toEqual([
      "2026-11-23T03:30:00.000Z",
      "2026-11-24T03:00:00.000Z",
    ]);
  });

  it("ignores daylight saving", () => {
    // In the night to 29 March 2026 most of Europe loses the hour after 01:00 GMT.
    expect(dueTimes("30 1,2,3 * * *", true, "2026-03-29T00:59:59Z", 3)).toEqual([
      "2026-03-29T01:30:00.000Z",
      "2026-03-29T02:30:00.000Z",
      "2026-03-29T03:30:00.000Z",
    ]);
  });

  it("knows the last day of a month, also in leap years", () => {
    expect(dueTimes("0 0 L 2,4 0,1,2,3,4,5,6", true, "2027-12-31T00:00:00Z", 3)).toEqual([
      "2028-02-29T00:00:00.000Z",
      "2028-04-30T00:00:00.000Z",
      "2029-02-28T00:00:00.000Z",
    ]);
  });

  it("needs either the day of the month or the weekday when neither is a star", () => {
    // Friday the 13th of November 2026; 20 November is a Friday, too.
    expect(dueTimes("0 0 13,14 11 5", false, "2026-11-12T12:00:00Z", 3)).toEqual([
      "2026-11-13T00:00:00.000Z",
      "2026-11-14T00:00:00.000Z",
      "2026-11-20T00:00:00.000Z",
    ]);
    expect(dueTimes("0 0 L 11 5", false, "2026-11-26T12:00:00Z", 2)).toEqual([
      "2026-11-27T00:00:00.000Z",
      "2026-11-30T00:00:00.000Z",
    ]);
  });

  it("needs both when one of them began with a star", () => {
    expect(dueTimes("0 0 1,3,5,7,9,11,13 11 5", true, "2026-11-01T12:00:00Z", 1)).toEqual([
      "2026-11-13T00:00:00.000Z",
    ]);
  });

  it("agrees with cron's own rule for every minute of a week, whatever the pattern", () => {
    const random = seededRandom(20261123);
    const pick = (low: number, high: number, chance: number): number[] => {
      const numbers = Array.from({ length: high - low + 1 }, (_, index) => low + index);
      const chosen = numbers.filter(() => random() < chance);
      return chosen.length === 0 ? [low + Math.floor(random() * numbers.length)] : chosen;
    };
    for (let round = 0; round < 25; round += 1) {
      const fields = {
        minutes: pick(0, 59, 0.1),
        hours: pick(0, 23, 0.3),
        days: pick(1, 31, 0.3),
        months: pick(1, 12, 0.8),
        weekdays: pick(0, 6, 0.4),
      };
      const both = random() < 0.5;
      const pattern = Object.values(fields)
        .map((numbers) => numbers.join(","))
        .join(" ");
      const start = Date.UTC(2026, Math.floor(random() * 12), 1 + Math.floor(random() * 28));
      const fits = (instant: Date): boolean => {
        const day = fields.days.includes(instant.getUTCDate());
        const weekday = fields.weekdays.includes(instant.getUTCDay());
        return (
          fields.minutes.includes(instant.getUTCMinutes()) &&
          fields.hours.includes(instant.getUTCHours()) &&
          fields.months.includes(instant.getUTCMonth() + 1) &&
          (both ? day && weekday : day || weekday)
        );
      };
      const expected: string[] = [];
      const end = start + 7 * 24 * 60 * 60_000;
      for (let instant = start + 60_000; instant <= end; instant += 60_000) {
        if (fits(new Date(instant))) expected.push(new Date(instant).toISOString());
      }
      const found = dueTimes(pattern, both, new Date(start).toISOString(), expected.length + 1).filter(
        (time) => Date.parse(time) <= end,
      );
      expect(found, pattern).toEqual(expected);
    }
  });

  it("is never due on a day that does not exist", () => {
    expect(nextDue({ kind: "minutes", pattern: "0 0 30 2 *", dom_and_dow: true }, new Date())).toBeNull();
    expect(nextDue({ kind: "never" }, new Date())).toBeNull();
  });
});

/** Numbers from 0 to 1, the same ones in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}
