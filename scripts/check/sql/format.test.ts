import { fileURLToPath } from "node:url";
import { loadModule } from "libpg-query";
import { beforeAll, describe, expect, it } from "vitest";
import { listProjectFiles, readProjectFiles } from "../project-files.ts";
import { formatSql } from "./format.ts";
import { meansTheSame } from "./same-meaning.ts";
import { dollarBody, scan, type Token } from "./scan.ts";
import { findBodies } from "./source.ts";
import { reservedWords } from "./words.ts";

const messy = [
  "",
  "-- SELECT stays in a comment   ",
  "CREATE FUNCTION app.Get_It(NAME TEXT, b INTEGER) RETURNS JSONB LANGUAGE PLPGSQL AS $$  ",
  "BEGIN",
  "\tIF NEW.ID IS NULL THEN RAISE EXCEPTION 'SELECT  ';",
  "\tEND IF ;",
  "",
  "",
  "",
  "  RETURN NULL",
  "  ;",
  "END",
  "$$ ;",
  'CREATE TABLE "TABLE" (Name TEXT, app.VALUE INT)\t;',
  "SELECT $$ SELECT\t\t $$, t.ROLE FROM T",
  "-- before the end",
  ";",
  "",
  "",
].join("\n");

/** What a careless hand makes of SQL: keywords in capitals, blanks and tabs at the end of lines and in front of semicolons. */
function spoil(tokens: readonly Token[]): string {
  const bodies = new Set(findBodies(tokens).map((body) => body.token));
  return tokens
    .map((token, index) => {
      if (bodies.has(token)) {
        const { tag, text } = dollarBody(token);
        return tag + spoil(scan(text)) + tag;
      }
      const besideDot = tokens[index - 1]?.text === "." || tokens[index + 1]?.text === ".";
      if (token.kind === "word" && reservedWords.has(token.text) && !besideDot)
        return token.text.toUpperCase();
      if (token.kind === "space") return token.text.replaceAll("\n", " \t\n");
      const isAfterCode = tokens[index - 1] !== undefined && tokens[index - 1]?.kind !== "comment";
      return token.text === ";" && isAfterCode ? " ;" : token.text;
    })
    .join("");
}

describe("formatSql", () => {
  beforeAll(loadModule);

  it("writes keywords and types in lower case and nothing else", () => {
    expect(formatSql(messy.replace("app.VALUE INT", "v INT"), "house")).toBe(
      [
        "-- SELECT stays in a comment",
        "create function app.Get_It(name text, b integer) returns jsonb language PLPGSQL as $$",
        "begin",
        "  if new.ID is null then raise exception 'SELECT  ';",
        "  end if;",
        "",
        "  return null;",
        "end",
        "$$;",
        'create table "TABLE" (Name text, v int);',
        "select $$ SELECT\t\t $$, t.ROLE from T",
        "-- before the end",
        ";",
        "",
      ].join("\n"),
    );
  });

  it("changes nothing the second time", () => {
    for (const level of ["house", "safe"] as const) {
      const once = formatSql(messy, level);
      expect(formatSql(once, level)).toBe(once);
    }
  });

  it("leaves tabs, empty lines and semicolons of an application alone", () => {
    expect(formatSql("SELECT\t1  \n\n\n\n  ;\n\n", "safe")).toBe("select\t1\n\n\n\n  ;\n");
  });

  it("does not touch the body of a function in a language that it does not know", () => {
    const text = "create function f() returns void language c as $$ SELECT  \n $$;\n";
    expect(formatSql(text, "house")).toBe(text);
  });

  it("formats a DO block and keeps a dollar quote inside it", () => {
    expect(formatSql("DO $do$ BEGIN EXECUTE $q$ SELECT  1 $q$ ; END $do$;", "house")).toBe(
      "do $do$ begin execute $q$ SELECT  1 $q$; end $do$;\n",
    );
  });

  it("keeps the meaning of what it formats", () => {
    const text = messy.replace("app.VALUE INT", "v INT");
    expect(meansTheSame(text, formatSql(text, "house"))).toBe(true);
    expect(meansTheSame(text, formatSql(text, "safe"))).toBe(true);
  });
});

describe("formatSql over the project's own SQL", () => {
  beforeAll(loadModule);

  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const paths = listProjectFiles(root).filter((path) => path.endsWith(".sql"));

  it.each(readProjectFiles(root, paths))("repairs what a careless hand did to $path", ({ text }) => {
    const spoilt = spoil(scan(text));
    const repaired = formatSql(spoilt, "house");
    expect(repaired).toBe(formatSql(text, "house"));
    expect(formatSql(repaired, "house")).toBe(repaired);
    expect(meansTheSame(spoilt, repaired)).toBe(true);
    expect(meansTheSame(text, repaired)).toBe(true);
  });
});

describe("meansTheSame", () => {
  beforeAll(loadModule);

  it("lets white space, comments and the case of words differ", () => {
    expect(meansTheSame("SELECT a FROM T", "select a -- x\n  from t")).toBe(true);
  });

  it("sees a changed string, name or number", () => {
    expect(meansTheSame("select 'a'", "select 'A'")).toBe(false);
    expect(meansTheSame('select "a"', 'select "A"')).toBe(false);
    expect(meansTheSame("select 1", "select 2")).toBe(false);
  });

  it("sees a change inside a body of either language", () => {
    const sql = "create function f() returns int language sql as $$ select 1 $$";
    expect(meansTheSame(sql, sql.replace("select 1", "select 2"))).toBe(false);
    const plpgsql = "do $$ begin perform a('x'); end $$";
    expect(meansTheSame(plpgsql, plpgsql.replace("'x'", "'X'"))).toBe(false);
  });

  it("sees a change inside a dollar quote that is no body", () => {
    expect(meansTheSame("select $$a b$$", "select $$a  b$$")).toBe(false);
  });
});
