import { readSource } from "../sql/source.ts";
import { child, dottedName, isTree, list, text } from "../sql/tree.ts";

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
      const targets = list(select, "targetList").map((target) => child(target, "ResTarget", "val"));
      // `insert … select 'a', …` is one row of expressions, or one for each row that it selects from.
      const selected =
        targets.length === 0 ? [] : cellsByName(select).map((cells) => resolved(targets, cells));
      return [...rows, ...selected].map((cells) => ({
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

/** The rows of the first `(values …) as name (columns)` that is selected from, its cells by `name.column`; else one empty row. */
function cellsByName(select: unknown): ReadonlyMap<string, unknown>[] {
  const [from] = list(select, "fromClause");
  const derived = child(from, "RangeSubselect") ?? child(from, "JoinExpr", "larg", "RangeSubselect");
  const rows = list(derived, "subquery", "SelectStmt", "valuesLists");
  if (rows.length === 0) return [new Map()];
  const name = text(derived, "alias", "aliasname");
  const columns = list(derived, "alias", "colnames").map((column) => text(column, "String", "sval"));
  return rows.map(
    (row) => new Map(list(row, "List", "items").map((cell, index) => [`${name}.${columns[index]}`, cell])),
  );
}

/** Expressions with the cells that they name in their places. */
function resolved(targets: readonly unknown[], cells: ReadonlyMap<string, unknown>): unknown[] {
  return targets.map((target) => {
    const plain = child(target, "TypeCast", "arg") ?? target;
    return cells.get(dottedName(list(plain, "ColumnRef", "fields"))) ?? target;
  });
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
