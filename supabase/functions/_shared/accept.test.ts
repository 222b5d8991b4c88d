import { expect, test } from "vitest";
import { prefersText } from "./accept.ts";

const cases: [string | undefined, boolean][] = [
  [undefined, false],
  ["*/*", false],
  ["application/json", false],
  ["text/plain", true],
  ["TEXT/PLAIN; charset=utf-8", true],
  ["text/plain, application/json", false],
  ["text/plain, application/json;q=0.5", true],
  ["text/plain;q=0.1, application/json", false],
  ["text/plain;q=0", false],
];

test.each(cases)("accept %s prefers text: %s", (accept, expected) => {
  const request = new Request("http://x/", { headers: accept === undefined ? {} : { accept } });
  expect(prefersText(request)).toBe(expected);
});
