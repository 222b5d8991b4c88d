import { isTest, placeOf, type SourceFile } from "./source-file.ts";

/** `as` silences the compiler; `as const` and renamed imports do not. */
export function typeAssertions(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const renaming = /^\s*(?:import|export)\s+(?:type\s+)?(?:\w+\s*,\s*)?(?:\{[^}]*\}|\*\s+as\s+\w+)/gm;
    const statements = file.code.replace(renaming, (match) => match.replace(/\S/g, " "));
    return [...statements.matchAll(/[\w)\]}"'`>]\s+as\s+(?!const\b)[\w{[("'`]/g)].map(
      (match) => `${placeOf(file, match.index)} asserts a type with as; check the value, or give it its type`,
    );
  });
}

/** Comments that switch the compiler off. */
export function compilerSwitchedOff(files: readonly SourceFile[]): string[] {
  const pattern = /^\s*(?:\/\/|\/\*+|\*)\s*@ts-(?:ignore|expect-error|nocheck)\b/gm;
  return files.flatMap((file) =>
    [...file.text.matchAll(pattern)].map(
      (match) => `${placeOf(file, match.index)} switches the compiler off; repair the type`,
    ),
  );
}

/** Every export outside tests says in TSDoc what it does. */
export function exportsWithoutDocs(files: readonly SourceFile[]): string[] {
  const pattern =
    /^export\s+(?:declare\s+)?(?:async\s+|abstract\s+)?(?:function\*?|const|let|class|interface|type)\s+(\w+)/gm;
  return files.flatMap((file) => {
    if (isTest(file.path) || !file.path.endsWith(".ts")) return [];
    const documented = new Set<string>();
    return [...file.code.matchAll(pattern)].flatMap((match) => {
      const name = match[1] ?? "";
      const before = file.text.slice(0, match.index).trimEnd();
      // The other signatures of an overloaded function share the first one's words.
      if (before.endsWith("*/") || documented.has(name)) {
        documented.add(name);
        return [];
      }
      return [`${placeOf(file, match.index)} exports ${name} without a TSDoc comment`];
    });
  });
}

/** A test that is left out, or that leaves out all others, proves nothing. */
export function testsLeftOut(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    [...file.code.matchAll(/\b(?:it|test|describe)\s*\.\s*(?:only|skip|todo|fails)\b/g)].map(
      (match) => `${placeOf(file, match.index)} leaves tests out; use skipIf with the condition`,
    ),
  );
}
