import { signalsOf } from "../blocks.ts";
import { raisesOf } from "../raises.ts";
import { plpgsqlScopes, type SqlRule } from "../rule.ts";

/**
 * Every raised error has a hint: the message states the fact, the hint the next step. A signal that never leaves its
 * block has nobody to read one.
 */
export const raiseHint: SqlRule = {
  name: "raise-hint",
  check(source) {
    return plpgsqlScopes(source).flatMap((scope) => {
      const signals = signalsOf(scope.tokens);
      return raisesOf(scope.tokens)
        .filter((raise) => !raise.options.has("hint") && !signals.has(raise.state))
        .map((raise) => ({
          position: raise.start,
          message: "The error has no hint. Say the next step in one.",
        }));
    });
  },
};
