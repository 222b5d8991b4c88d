import type { SqlProblem, SqlRule } from "../rule.ts";
import type { SqlSource } from "../source.ts";
import { child, dottedName, list } from "../tree.ts";

/**
 * Directly above a function stands a comment that says what one call or one row means; above a diagnosis or check it
 * has a line `Cost:` (what it reads, which locks) and a line `Misses:` (what it cannot see).
 */
export const functionHeader: SqlRule = {
  name: "function-header",
  check(source) {
    return source.statements.flatMap(({ kind, node, start }): SqlProblem[] => {
      if (kind !== "CreateFunctionStmt") return [];
      const name = dottedName(list(node, "funcname"));
      const header = headerAbove(source, start);
      if (header === "") {
        return [{ position: start, message: `No comment stands above ${name}. Say what one call means.` }];
      }
      const returned = dottedName(list(child(node, "returnType"), "names"));
      // The catalog's functions take one jsonb: the subject of a diagnosis, the settings of a check.
      const taken = list(node, "parameters").map((parameter) =>
        dottedName(list(child(parameter, "FunctionParameter", "argType"), "names")),
      );
      const looks =
        /\.(?:diagnose|check)_/.test(name) &&
        /\.(?:finding|check_result)$/.test(returned) &&
        taken.join() === "jsonb";
      return ["Cost", "Misses"]
        .filter((label) => looks && !new RegExp(`^-- ${label}: \\S`, "m").test(header))
        .map((label) => ({
          position: start,
          message: `The comment above ${name} has no line "${label}: …".`,
        }));
    });
  },
};

function headerAbove(source: SqlSource, start: number): string {
  const lines = source.text.slice(0, start).split("\n").slice(0, -1);
  let first = lines.length;
  while (lines[first - 1]?.startsWith("--")) first -= 1;
  return lines.slice(first).join("\n");
}
