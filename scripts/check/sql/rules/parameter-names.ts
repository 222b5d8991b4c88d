import type { SqlRule } from "../rule.ts";
import { dottedName, list, text } from "../tree.ts";

/** Parameters have plain names and are qualified by the function's name; no `p_`. */
export const parameterNames: SqlRule = {
  name: "parameter-names",
  check(source) {
    return source.statements.flatMap(({ kind, node, start }) => {
      if (kind !== "CreateFunctionStmt") return [];
      return list(node, "parameters").flatMap((parameter) => {
        const name = text(parameter, "FunctionParameter", "name");
        if (!/^_?p_/.test(name)) return [];
        const plain = name.replace(/^_?p_/, "");
        const qualified = `${dottedName(list(node, "funcname").slice(-1))}.${plain}`;
        return [
          {
            position: start,
            message: `The parameter ${name} has a prefix. Call it ${plain}, in the body ${qualified}.`,
          },
        ];
      });
    });
  },
};
