/** A node of a parse tree that came as JSON: every part must be looked at before it is used. */
export type Tree = Readonly<Record<string, unknown>>;

/** Whether the value is an object with parts (not a list). */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What stands under a path of keys and list positions; undefined where the path ends early. */
export function child(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value;
  for (const step of path) {
    if (Array.isArray(current) && typeof step === "number") current = current[step];
    else if (isTree(current)) current = current[step];
    else return undefined;
  }
  return current;
}

/** The list under a path, empty where there is none. */
export function list(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = child(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The text under a path, empty where there is none. */
export function text(value: unknown, ...path: readonly (string | number)[]): string {
  const found = child(value, ...path);
  return typeof found === "string" ? found : "";
}

/** A name such as `runbook.now` from the parser's list of String nodes. */
export function dottedName(names: readonly unknown[]): string {
  return names.map((name) => text(name, "String", "sval")).join(".");
}
