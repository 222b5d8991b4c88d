import { describe, expect, it } from "vitest";
import {
  type CostResult,
  costChapter,
  cpuMsPerMinute,
  type JobRun,
  reachedSpeed,
} from "./cost-of-schedule.ts";

const times = (count: number, run: JobRun): JobRun[] => Array.from({ length: count }, () => run);

/** Six rounds of 15 s are an hour at forty times the speed of the clock. */
function cost(more: Partial<CostResult> = {}): CostResult {
  return {
    rounds: Array.from({ length: 6 }, () => ({ without: 1000, sped: 800 })),
    jobs: [
      { name: "runbook-checks", periodS: 60, runs: times(60, { tookMs: 400, cpuMs: 90 }) },
      { name: "runbook-hourly", periodS: 3600, runs: times(1, { tookMs: 700, cpuMs: 600 }) },
    ],
    cores: 2,
    ...more,
  };
}

describe("the cost of the schedule", () => {
  it("is the loss of the median round at the schedule's own speed", () => {
    const rounds = [...cost().rounds.slice(1), { without: 1000, sped: 100 }];
    expect(costChapter(cost({ rounds }))).toContain(
      "own speed: 0.50 % in the median round (0.50 to 2.25 %; goal met)",
    );
  });

  it("compares each round with its neighbour, and not one with another", () => {
    const rounds = [1000, 500, 2000].map((without) => ({ without, sped: 0.6 * without }));
    expect(costChapter(cost({ rounds, jobs: [] }))).toContain(
      "1.00 % in the median round (1.00 to 1.00 %; goal missed)",
    );
  });

  it("is not made smaller by runs that were left out", () => {
    const [checks, hourly] = cost().jobs;
    if (checks === undefined || hourly === undefined) throw new Error("There are two jobs.");
    const late = cost({ jobs: [{ ...checks, runs: checks.runs.slice(0, 30) }, hourly] });
    expect(reachedSpeed(cost())).toBe(40);
    expect(reachedSpeed(late)).toBe(20);
    expect(costChapter(late)).toContain("own speed: 1.00 %");
    expect(costChapter(late)).toContain("divided by 20.0");
  });

  it("is told in processor time as well: each job by its period", () => {
    expect(cpuMsPerMinute(cost())).toBeCloseTo(100);
    expect(costChapter(cost())).toContain(
      "100 ms of processor time for each minute of the schedule, under this load: 0.08 %",
    );
  });

  it("tells no processor time where a session's is not known", () => {
    const jobs = [{ name: "runbook-checks", periodS: 60, runs: times(60, { tookMs: 400, cpuMs: null }) }];
    expect(cpuMsPerMinute(cost({ jobs }))).toBeNull();
    expect(costChapter(cost({ jobs }))).toContain("is not told by this system");
  });
});
