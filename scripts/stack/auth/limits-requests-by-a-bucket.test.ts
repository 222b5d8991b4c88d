import { expect, test } from "vitest";
import { RequestLimiter } from "./request-limiter.ts";

test("a bucket empties, refills evenly and never overflows", () => {
  let seconds = 0;
  const limiter = new RequestLimiter(3, 30, () => new Date(seconds * 1000));
  const take = () => limiter.take("someone");

  expect([take(), take(), take(), take()]).toEqual([true, true, true, false]);
  expect(limiter.take("someone else")).toBe(true);
  seconds = 9;
  expect(take()).toBe(false);
  seconds = 10;
  expect([take(), take()]).toEqual([true, false]);
  seconds = 10_000;
  expect([take(), take(), take(), take()]).toEqual([true, true, true, false]);
});
