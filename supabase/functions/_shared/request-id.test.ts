import { expect, test } from "vitest";
import { requestIdOf } from "./request-id.ts";

const requestWith = (id: string): Request => new Request("http://x/", { headers: { "x-request-id": id } });

test("a plain word is kept", () => {
  expect(requestIdOf(requestWith("ci-42:a.b_c"))).toBe("ci-42:a.b_c");
});

test.each(["", "two words", "someone@demo.example", "<script>", "x".repeat(129)])(
  "%j gets a new id",
  (id) => {
    expect(requestIdOf(requestWith(id))).toMatch(/^[0-9a-f-]{36}$/);
  },
);

test("requests without an id get different ones", () => {
  const request = new Request("http://x/");
  expect(requestIdOf(request)).not.toBe(requestIdOf(request));
});
