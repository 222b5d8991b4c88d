import { expect, test, vi } from "vitest";
import { hastenImmediates } from "./immediate.ts";

interface Scope {
  setImmediate(callback: (...args: unknown[]) => void, ...args: unknown[]): unknown;
  clearImmediate(handle: unknown): void;
}

function hastened(): { scope: Scope; clearOther: ReturnType<typeof vi.fn> } {
  const clearOther = vi.fn();
  const scope: Scope = { setImmediate: () => undefined, clearImmediate: clearOther };
  hastenImmediates(scope);
  return { scope, clearOther };
}

test("a callback runs after the code that asked for it and before any timer", async () => {
  const { scope } = hastened();
  const order: string[] = [];
  scope.setImmediate((word) => order.push(String(word)), "immediate");
  setTimeout(() => order.push("timer"), 0);
  order.push("code");
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(order).toEqual(["code", "immediate", "timer"]);
});

test("a cleared callback does not run", async () => {
  const { scope } = hastened();
  const callback = vi.fn();
  scope.clearImmediate(scope.setImmediate(callback));
  await Promise.resolve();
  expect(callback).not.toHaveBeenCalled();
});

test("handles that were made before are cleared as before", () => {
  const { scope, clearOther } = hastened();
  scope.clearImmediate(42);
  expect(clearOther).toHaveBeenCalledWith(42);
});
