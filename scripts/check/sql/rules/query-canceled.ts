import { guardedBlocks } from "../blocks.ts";
import { plpgsqlScopes, type SqlRule } from "../rule.ts";
import { folded, type Token } from "../scan.ts";

const checks = /check|diagnos|finding/;

/**
 * A handler of `others` around a check also names `query_canceled`, which `others` does not catch: without it the
 * timeout of one check ends them all. "Around a check" is a block that calls something named after checks, diagnoses
 * or findings, or one that executes a statement in a function of such a name.
 */
export const queryCanceled: SqlRule = {
  name: "query-canceled",
  check(source) {
    return plpgsqlScopes(source).flatMap((scope) =>
      guardedBlocks(scope.tokens)
        .filter((block) => isAroundCheck(block.guarded, checks.test(scope.functionName)))
        .flatMap((block) => {
          const others = block.handlers.find((handler) => handler.conditions.includes("others"));
          const named = block.handlers.some((handler) => handler.conditions.includes("query_canceled"));
          if (others === undefined || named) return [];
          return [
            {
              position: scope.tokens[others.when]?.start ?? 0,
              message:
                "others does not catch query_canceled, so a check that runs out of time passes this handler. Name query_canceled too.",
            },
          ];
        }),
    );
  },
};

function isAroundCheck(tokens: readonly Token[], executesChecks: boolean): boolean {
  return tokens.some((token, index) => {
    if (token.kind !== "word") return false;
    const word = folded(token);
    return (executesChecks && word === "execute") || (checks.test(word) && tokens[index + 1]?.text === "(");
  });
}
