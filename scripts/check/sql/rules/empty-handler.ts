import { guardedBlocks, isEmpty, signalsOf } from "../blocks.ts";
import { plpgsqlScopes, type SqlRule } from "../rule.ts";

/**
 * No exception handler swallows an error: none is empty or only `null`. A state that the block itself raises in order
 * to leave and be rolled back is no error.
 */
export const emptyHandler: SqlRule = {
  name: "empty-handler",
  check(source) {
    return plpgsqlScopes(source).flatMap((scope) => {
      const signals = signalsOf(scope.tokens);
      return guardedBlocks(scope.tokens)
        .flatMap((block) => block.handlers)
        .filter(isEmpty)
        .filter((handler) => !handler.conditions.every((one) => one === "sqlstate" || signals.has(one)))
        .map((handler) => ({
          position: scope.tokens[handler.when]?.start ?? 0,
          message: `The handler of ${handler.conditions.join(" ")} does nothing, so the error is lost. Record it, or let it pass.`,
        }));
    });
  },
};
