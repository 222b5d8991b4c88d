import type { SqlRule } from "../rule.ts";

/** A migration opens with three to six lines of comment: what it adds, why it is there, what it relies on. */
export const migrationHeader: SqlRule = {
  name: "migration-header",
  check(source) {
    let lines = 0;
    for (const line of source.text.split("\n")) {
      if (!line.startsWith("--")) break;
      lines += 1;
    }
    if (lines >= 3 && lines <= 6) return [];
    const found = lines === 0 ? "The file has no header comment." : `The header comment has ${lines} lines.`;
    return [
      {
        position: 0,
        message: `${found} Open with three to six lines: what it adds, why it is there, what it relies on.`,
      },
    ];
  },
};
