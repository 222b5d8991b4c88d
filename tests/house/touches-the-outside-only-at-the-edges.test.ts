import { describe, expect, it } from "vitest";
import {
  defaultExports,
  denoOutsideTheEdge,
  endpointLines,
  longEndpoints,
  processOutsideTheEdge,
  serversOutsideTheEdge,
  untaggedSql,
} from "./edge-rules.ts";
import { readProjectSources, readSourceFile } from "./source-file.ts";

const project = readProjectSources();
const file = (path: string, ...lines: string[]) => [readSourceFile(path, lines.join("\n"))];
const endpoint = "supabase/functions/a/index.ts";
const shared = "supabase/functions/_shared/a.ts";

describe("the project", () => {
  it("starts servers only where a function or the stack's host begins", () => {
    for (const start of ["Deno.serve(f);", "createServer(f);", "Deno.listen(a);"]) {
      expect(serversOutsideTheEdge(file(shared, start))).toHaveLength(1);
      expect(serversOutsideTheEdge(file("scripts/release/a.ts", start))).toHaveLength(1);
      expect(serversOutsideTheEdge(file(endpoint, start))).toEqual([]);
      expect(serversOutsideTheEdge(file("scripts/a.test.ts", start))).toEqual([]);
    }
    expect(
      serversOutsideTheEdge(
        file(shared, "// Deno.serve(f)", 'const a = "createServer(1)";', "sql.listen(a);"),
      ),
    ).toEqual([]);
    expect(serversOutsideTheEdge(project)).toEqual([]);
  });

  it("reads Deno only where a program begins and in _shared/env.ts", () => {
    expect(denoOutsideTheEdge(file(shared, "", "const a = Deno.env.get(x);"))).toEqual([
      `${shared}:2 uses Deno; take it as an argument`,
    ]);
    expect(denoOutsideTheEdge(file("supabase/functions/_shared/env.ts", "Deno.env;"))).toEqual([]);
    expect(denoOutsideTheEdge(file(endpoint, "Deno.env;"))).toEqual([]);
    expect(denoOutsideTheEdge(file(shared, "/** As Deno.env does. */ const runsOnDeno = true;"))).toEqual([]);
    expect(denoOutsideTheEdge(project)).toEqual([]);
  });

  it("reads process only where a program begins", () => {
    for (const use of ["process.env;", 'process["env"];', "process.exit(1);", "process.on(a, b);"]) {
      expect(processOutsideTheEdge(file("scripts/a/b.ts", use))).toHaveLength(1);
      expect(processOutsideTheEdge(file("scripts/a/main.ts", use))).toEqual([]);
    }
    const still = ["process.platform;", "const a = { process: 1 };", "`a process.env`;"];
    expect(processOutsideTheEdge(file("scripts/a/b.ts", ...still))).toEqual([]);
    expect(processOutsideTheEdge(project)).toEqual([]);
  });

  it("says in an endpoint's index.ts which entry it serves, and no more", () => {
    const lines = Array.from({ length: endpointLines }, (_, index) => `const v${index} = ${index};`);
    expect(longEndpoints(file(endpoint, "// a", "", ...lines))).toEqual([]);
    expect(longEndpoints(file(endpoint, ...lines, "more();"))).toHaveLength(1);
    expect(longEndpoints(file(shared, ...lines, "more();"))).toEqual([]);
    expect(longEndpoints(project)).toEqual([]);
  });

  it("exports by name", () => {
    expect(defaultExports(file(shared, "export default { fetch };"))).toHaveLength(1);
    expect(defaultExports(file(endpoint, "export default { fetch };"))).toEqual([]);
    expect(defaultExports(project)).toEqual([]);
  });

  it("writes SQL in functions as tagged templates only", () => {
    expect(untaggedSql(file(shared, "await sql.unsafe(text);"))).toHaveLength(1);
    expect(untaggedSql(file("scripts/stack/a.ts", "await sql.unsafe(text);"))).toEqual([]);
    expect(untaggedSql(project)).toEqual([]);
  });
});
