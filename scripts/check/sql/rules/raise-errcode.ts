import { raisesOf } from "../raises.ts";
import { plpgsqlScopes, type SqlRule } from "../rule.ts";

/** Every raised error carries an SQLSTATE, because callers decide by it and never by the text. */
export const raiseErrcode: SqlRule = {
  name: "raise-errcode",
  check(source) {
    return plpgsqlScopes(source).flatMap((scope) =>
      raisesOf(scope.tokens)
        .filter((raise) => !raise.namesState && !raise.options.has("errcode"))
        .map((raise) => ({
          position: raise.start,
          message:
            "The error has no SQLSTATE of its own. Add using errcode: P0002, 22023, 42501, 55000 or one of class RB.",
        })),
    );
  },
};
