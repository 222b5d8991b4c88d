import type { SqlRule } from "../rule.ts";
import { child, dottedName, list, text } from "../tree.ts";

const wanted = [
  ["language", "language"],
  ["volatility", "volatility (immutable, stable or volatile)"],
  ["security", "security invoker or security definer"],
] as const;

/** A function writes out what it returns, its language, volatility, security and search_path; a procedure the last three it has. */
export const functionAttributes: SqlRule = {
  name: "function-attributes",
  check(source) {
    return source.statements.flatMap(({ kind, node, start }) => {
      if (kind !== "CreateFunctionStmt") return [];
      const isProcedure = child(node, "is_procedure") === true;
      const options = list(node, "options");
      const names = new Set(options.map((option) => text(option, "DefElem", "defname")));
      const missing: string[] = wanted
        .filter(([name]) => !names.has(name) && !(isProcedure && name === "volatility"))
        .map(([, phrase]) => phrase);
      if (!isProcedure && child(node, "returnType") === undefined) missing.unshift("returns");
      const setsPath = options.some(
        (option) => text(option, "DefElem", "arg", "VariableSetStmt", "name") === "search_path",
      );
      if (!setsPath) missing.push("set search_path");
      if (missing.length === 0) return [];
      const name = dottedName(list(node, "funcname"));
      return [{ position: start, message: `${name} does not say ${missing.join(", ")}. Write it out.` }];
    });
  },
};
