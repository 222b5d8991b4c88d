import { expect, it } from "vitest";
import { functionComment } from "./function-comment.ts";
import { linesReported } from "./lines-reported.ts";

const create =
  "create function a.f(x int, y text[] default null, out z text) returns text language sql as $$ select 1 $$;";

it("finds the comment by the types of the arguments, however they are spelt", async () => {
  expect(
    await linesReported(functionComment, `${create}\ncomment on function a.f(integer, text[]) is 'x';`),
  ).toEqual([]);
  expect(await linesReported(functionComment, `${create}\ncomment on function a.f is 'x';`)).toEqual([]);
});

it("does not take the comment of an overload or of a namesake", async () => {
  expect(await linesReported(functionComment, `${create}\ncomment on function a.f(int) is 'x';`)).toEqual([
    1,
  ]);
  expect(await linesReported(functionComment, `${create}\ncomment on function b.f is 'x';`)).toEqual([1]);
});
