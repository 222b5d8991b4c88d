import { readSource } from "../sql/source.ts";
import { child, isTree, list, text } from "../sql/tree.ts";

/** One row that a migration inserts, as far as its values are written as constants. */
export interface InsertedRow {
  readonly file: string;
  readonly values: ReadonlyMap<string, string>;
}

/**
 * The rows that migrations insert into a table of schema runbook, by column name. An array's value is its elements,
 * one a line. libpg-query's `loadModule()` must have resolved before.
 */
export function readInsertedRows(
  files: readonly { path: string; text: string }[],
  table: string,
): InsertedRow[] {
  return files.flatMap((file) =>
    readSource(file.path, file.text).statements.flatMap(({ kind, node }) => {
      if (kind !== "InsertStmt" || text(node, "relation", "relname") !== table) return [];
      if (text(node, "relation", "schemaname") !== "runbook") return [];
      const columns = list(node, "cols").map((column) => text(column, "ResTarget", "name"));
      const select = child(node, "selectStmt", "SelectStmt");
      const rows = list(select, "valuesLists").map((row) => list(row, "List", "items"));
      // `insert … select 'a', …` is one row of expressions.
      const selected = list(select, "targetList").map((target) => child(target, "ResTarget", "val"));
      return [...rows, ...(selected.length > 0 ? [selected] : [])].map((cells) => ({
        file: file.path,
        values: new Map(
          cells.flatMap((cell, index): [string, string][] => {
            const value = constantOf(cell);
            const column = columns[index];
            return value === undefined || column === undefined ? [] : [[column, value]];
          }),
        ),
      }));
    }),
  );
}

/** The keys of a JSON object that stands in a cell; none where the cell holds something else. */
export function keysOfJson(value: string | undefined): string[] {
  if (value === undefined) return [];
  const parsed: unknown = JSON.parse(value);
  return isTree(parsed) ? Object.keys(parsed) : [];
}

function constantOf(cell: unknown): string | undefined {
  const cast = child(cell, "TypeCast", "arg");
  if (cast !== undefined) return constantOf(cast);
  const elements = child(cell, "A_ArrayExpr", "elements");
  if (Array.isArray(elements)) return elements.map((element) => constantOf(element) ?? "").join("\n");
  const value = child(cell, "A_Const", "sval", "sval");
  if (typeof value === "string") return value;
  const number = child(cell, "A_Const", "ival");
  // A zero is left out of the tree.
  return number === undefined ? undefined : String(child(number, "ival") ?? 0);
}
