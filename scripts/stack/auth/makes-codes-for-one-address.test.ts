import { expect, test } from "vitest";
import { hashOtp, makeOtp } from "./one-time-tokens.ts";

test("a code has six digits, zeros in front included", () => {
  const codes = Array.from({ length: 2000 }, makeOtp);
  expect(codes.every((code) => /^\d{6}$/.test(code))).toBe(true);
  expect(new Set(codes).size).toBeGreaterThan(1900);
});

test("the hash is SHA-224 of address and code, as GoTrue stores it", () => {
  expect(hashOtp("a@b.example", "123456")).toMatch(/^[0-9a-f]{56}$/);
  expect(hashOtp("a@b.example", "123456")).not.toBe(hashOtp("c@b.example", "123456"));
});
