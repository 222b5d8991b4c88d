import type { SqlRule } from "../rule.ts";

/** Names are written in lower case, as Postgres stores them. The formatter changes keywords only, so this is reported. */
export const lowerCaseNames: SqlRule = {
  name: "lower-case-names",
  check(source) {
    return source.scopes.flatMap((scope) =>
      scope.tokens
        .filter((token) => token.kind === "word" && token.text !== token.text.toLowerCase())
        .map((token) => ({
          position: token.start,
          message: `Postgres reads ${token.text} as ${token.text.toLowerCase()}. Write it so.`,
        })),
    );
  },
};
