import { describe, expect, it } from "vitest";
import { dollarBody, scan, significant } from "./scan.ts";

function kinds(text: string): string[] {
  return significant(scan(text)).map((token) => `${token.kind} ${token.text}`);
}

describe("scan", () => {
  it("gives the text back when all tokens are put together", () => {
    const text =
      "select 'a''b', E'\\'', $x$ ; $x$, U&\"d\" /* a /* b */ c */ -- é\n from \"T\".t where a>=-1;\r\n";
    expect(
      scan(text)
        .map((token) => token.text)
        .join(""),
    ).toBe(text);
  });

  it("keeps quotes, comments and dollar quotes whole", () => {
    expect(kinds("'it''s -- no' \"a\"\"b\" $q$ it's ; $q$")).toEqual([
      "string 'it''s -- no'",
      'quoted "a""b"',
      "dollar $q$ it's ; $q$",
    ]);
    expect(kinds("E'a\\'b' 'c\\'")).toEqual(["string E'a\\'b'", "string 'c\\'"]);
  });

  it("ends an operator before a comment and before a sign", () => {
    expect(kinds("a=-1 b->>'c' d@-e f*--g")).toEqual([
      "word a",
      "operator =",
      "operator -",
      "number 1",
      "word b",
      "operator ->>",
      "string 'c'",
      "word d",
      "operator @-",
      "word e",
      "word f",
      "operator *",
    ]);
  });

  it("tells a range of PL/pgSQL from a decimal point, and a parameter from a dollar quote", () => {
    expect(kinds("1..10 1.5 v:=$1 x::int")).toEqual([
      "number 1",
      "mark ..",
      "number 10",
      "number 1.5",
      "word v",
      "mark :=",
      "param $1",
      "word x",
      "mark ::",
      "word int",
    ]);
  });

  it("says where a dollar body begins", () => {
    const token = scan("as $fn$ begin $fn$").find((one) => one.kind === "dollar");
    expect(token && dollarBody(token)).toEqual({ tag: "$fn$", text: " begin ", start: 7 });
  });
});
