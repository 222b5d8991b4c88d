import { loadModule } from "libpg-query";
import { beforeAll, describe, expect, it } from "vitest";
import { readSource, SqlSyntaxError } from "./source.ts";

const scopesOf = (sql: string): string[] =>
  readSource("a.sql", sql)
    .scopes.slice(1)
    .map(
      (scope) =>
        `${scope.language} ${scope.functionName} ${scope.tokens.map((token) => token.text).join(" ")}`,
    );

describe("readSource", () => {
  beforeAll(loadModule);

  it("takes bodies of functions and DO blocks for code, whatever stands before them", () => {
    expect(
      scopesOf(`create or replace function app.f(language text default $$x$$) returns text
        as $body$ select 1 -- one
        $body$ language 'sql';
        do language plpgsql $$ begin end $$;
        create procedure p() language plpgsql as $$ begin commit; end $$;`),
    ).toEqual(["sql app.f select 1", "plpgsql  begin end", "plpgsql p begin commit ; end"]);
  });

  it("leaves other dollar quotes and other languages alone", () => {
    expect(scopesOf("select $$ select 1 $$; create function f() returns int language c as $$f$$;")).toEqual(
      [],
    );
  });

  it("says where statements begin and the parser stops, in characters of the text", () => {
    const sql = "-- é 😀\nselect 'é';\n\n-- two\nselect 2;";
    expect(readSource("a.sql", sql).statements.map((one) => sql.slice(one.start, one.start + 8))).toEqual([
      "select '",
      "select 2",
    ]);
    const broken = "-- é 😀\nselect 'é' frm where;";
    const stop = (): unknown => readSource("a.sql", broken);
    expect(stop).toThrow(SqlSyntaxError);
    expect(stop).toThrow(expect.objectContaining({ position: broken.indexOf("where") }));
  });

  it("has nothing to say about a file of comments", () => {
    expect(readSource("a.sql", "-- nothing\n").statements).toEqual([]);
  });
});
