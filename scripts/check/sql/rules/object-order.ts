import { objectsOf, type Phase, phases } from "../object-name.ts";
import type { SqlProblem, SqlRule } from "../rule.ts";

/**
 * Each object comes in the order create, comment on, revoke, grant, and its comment stands before the next object
 * is created. A statement about an object of another file is left alone.
 */
export const objectOrder: SqlRule = {
  name: "object-order",
  check(source) {
    const created = new Set<string>();
    const reached = new Map<string, Phase>();
    const problems: SqlProblem[] = [];
    let latest = "";
    for (const statement of source.statements) {
      const found = objectsOf(statement);
      for (const object of found?.objects ?? []) {
        if (found === undefined) continue;
        const name = fullName(object, created);
        const before = reached.get(name);
        const again = found.phase === "create" && created.has(name);
        if (before !== undefined && !again && phases.indexOf(found.phase) < phases.indexOf(before)) {
          problems.push({
            position: statement.start,
            message: `${found.phase} ${name} stands behind its ${before}. Keep the order ${phases.join(", ")}.`,
          });
        }
        if (found.phase === "comment on" && created.has(name) && latest !== name) {
          problems.push({
            position: statement.start,
            message: `The comment on ${name} stands behind the creation of ${latest}. Put it directly behind its own object.`,
          });
        }
        if (found.phase === "create") {
          created.add(name);
          latest = name;
        }
        reached.set(name, found.phase);
      }
    }
    return problems;
  },
};

/** A function may be named without its arguments when it has no overload. */
function fullName(object: string, created: ReadonlySet<string>): string {
  if (!object.startsWith("function ") || object.includes("(")) return object;
  return [...created].find((name) => name.startsWith(`${object}(`)) ?? object;
}
