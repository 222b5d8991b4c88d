import { objectsOf } from "../object-name.ts";
import type { SqlRule } from "../rule.ts";

/** Every function has its `comment on function` in the same file. */
export const functionComment: SqlRule = {
  name: "function-comment",
  check(source) {
    const commented = new Set(
      source.statements.flatMap((statement) => {
        const found = objectsOf(statement);
        return found?.phase === "comment on" ? found.objects : [];
      }),
    );
    return source.statements.flatMap((statement) => {
      const found = objectsOf(statement);
      const name = found?.objects[0];
      if (statement.kind !== "CreateFunctionStmt" || name === undefined) return [];
      if (commented.has(name) || commented.has(name.replace(/\(.*$/, ""))) return [];
      return [{ position: statement.start, message: `No comment on ${name}. Say what one call means.` }];
    });
  },
};
