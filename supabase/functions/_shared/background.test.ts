import { expect, test } from "vitest";
import { inBackground } from "./background.ts";

test("the platform is told of work that goes on", () => {
  const told: unknown[] = [];
  const work = Promise.resolve();
  inBackground(work, { EdgeRuntime: { waitUntil: (promise: unknown) => told.push(promise) } });
  expect(told).toEqual([work]);
});

test.each([{}, { EdgeRuntime: null }, { EdgeRuntime: {} }, { EdgeRuntime: { waitUntil: 7 } }])(
  "where there is no such platform the work just goes on: %j",
  (scope) => {
    expect(() => inBackground(Promise.resolve(), scope)).not.toThrow();
  },
);
