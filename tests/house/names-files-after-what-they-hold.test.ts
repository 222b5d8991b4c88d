import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { listProjectFiles, readProjectFiles } from "../../scripts/check/project-files.ts";
import { namesNotInKebabCase, namesThatSayNothing, sqlTestsMisnamed, testsMisnamed } from "./naming-rules.ts";
import { sqlTestsOutOfShape } from "./sql-test-rules.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const paths = listProjectFiles(root);

describe("the project", () => {
  it("has no name that says nothing", () => {
    const faults = [
      "scripts/utils.ts",
      "scripts/a/helpers/b.ts",
      "tests/sql-helpers.ts",
      "a/util.test.ts",
      "helper.sql",
    ];
    expect(namesThatSayNothing(faults)).toHaveLength(faults.length);
    expect(namesThatSayNothing(["scripts/utilisation.ts", "docs/help.md", "a/common-table.ts"])).toEqual([]);
    expect(namesThatSayNothing(paths)).toEqual([]);
  });

  it("has TypeScript files in kebab-case", () => {
    expect(namesNotInKebabCase(["a/readEnv.ts", "a/read_env.ts", "a/Read.test.ts"])).toHaveLength(3);
    expect(namesNotInKebabCase(["a/read-env.ts", "a/read-env.test.ts", "a/host.deno.ts", "a/B.md"])).toEqual(
      [],
    );
    expect(namesNotInKebabCase(paths)).toEqual([]);
  });

  it("has tests whose names finish the sentence", () => {
    const faults = [
      "supabase/tests/a.test.sql",
      "supabase/tests/login/12.sql",
      "supabase/tests/login/unblocks.test.sql",
    ];
    expect(sqlTestsMisnamed(faults)).toHaveLength(3);
    expect(sqlTestsMisnamed(["supabase/tests/login/unblocks_only_the_named_user.test.sql"])).toEqual([]);

    expect(testsMisnamed(["tests/http/login.test.ts"])).toHaveLength(1);
    expect(
      testsMisnamed(["tests/http/refuses-a-wrong-key.test.ts", "tests/a/tap.test.ts", "tests/a/tap.ts"]),
    ).toEqual([]);
    expect(sqlTestsMisnamed(paths)).toEqual([]);
    expect(testsMisnamed(paths)).toEqual([]);
  });

  it("has pgTAP files that plan exactly, finish and roll back", () => {
    const files = paths.filter((path) => path.startsWith("supabase/tests/"));
    const good =
      "-- Why.\nbegin;\nselect plan(1);\nselect ok(true, 'x');\nselect * from finish();\nrollback;\n";
    const shape = (text: string) => sqlTestsOutOfShape([{ path: "a.test.sql", text }]);
    expect(shape(good)).toEqual([]);
    expect(shape(good.replace("begin;", "begin transaction read only;"))).toEqual([]);
    for (const part of ["begin;", "plan(1)", "finish()", "rollback;"]) {
      expect(shape(good.replace(part, "x"))).toHaveLength(1);
    }
    expect(shape(good.replace("plan(1)", "* from no_plan()"))).toHaveLength(2);
    expect(sqlTestsOutOfShape(readProjectFiles(root, files))).toEqual([]);
  });
});
