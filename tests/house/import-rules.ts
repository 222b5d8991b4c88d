import { isTest, type SourceFile } from "./source-file.ts";

/** Functions never import each other; what they have in common is in `_shared`. */
export function functionsImportingEachOther(files: readonly SourceFile[]): string[] {
  return violations(files, (file, target) => {
    const own = functionOf(file.path);
    const other = functionOf(target);
    if (own === undefined || own === "_shared" || other === undefined || other === "_shared")
      return undefined;
    return own === other ? undefined : `imports the function ${other}; move what both need to _shared`;
  });
}

/** `_shared` imports no function. */
export function sharedImportingFunctions(files: readonly SourceFile[]): string[] {
  return violations(files, (file, target) => {
    const other = functionOf(target);
    if (functionOf(file.path) !== "_shared" || other === undefined || other === "_shared") return undefined;
    return `imports the function ${other}; pass what it needs as an argument`;
  });
}

/** Functions know nothing above them (scripts, tests), and scripts nothing of the tests. */
export function importsAgainstTheLayers(files: readonly SourceFile[]): string[] {
  return violations(files, (file, target) => {
    if (isTest(file.path)) return undefined;
    if (isTest(target)) return `imports ${target}, which is a test`;
    const isFunction = file.path.startsWith("supabase/functions/");
    if (isFunction && !target.startsWith("supabase/functions/"))
      return `imports ${target} from a layer above`;
    return undefined;
  });
}

/** Relative imports end in the file's own extension, so Deno, Node and vitest read the same path. */
export function relativeImportsWithoutExtension(files: readonly SourceFile[]): string[] {
  return violations(files, (_file, target, specifier) =>
    /\.(?:ts|mts|mjs|json)$/.test(target) ? undefined : `imports ${specifier}; write the extension .ts`,
  );
}

/** Functions import packages by the bare names of deno.json (or `node:`), and nobody imports from an address. */
export function importsByAddress(files: readonly SourceFile[], mapped: readonly string[]): string[] {
  return files.flatMap((file) =>
    file.imports.flatMap(({ specifier, target, line }) => {
      if (target !== undefined || specifier.startsWith("node:")) return [];
      if (/^[a-z][a-z+.-]*:/.test(specifier))
        return [`${file.path}:${line} imports ${specifier}; map a bare name in deno.json`];
      const isDeployed = file.path.startsWith("supabase/functions/") && !isTest(file.path);
      if (!isDeployed || mapped.includes(specifier)) return [];
      return [`${file.path}:${line} imports ${specifier}, which deno.json does not map`];
    }),
  );
}

/** A file that only passes on what others export hides where things are. */
export function barrels(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const rest = file.code.replace(/^\s*(?:import|export)\b[^;"'`]*?(?:\bfrom\s*)?(["']) *\1;?/gm, "");
    const passesOn = /^\s*export\b[^;"'`]*?\bfrom\s*["']/m.test(file.code);
    return passesOn && rest.trim() === ""
      ? [`${file.path} only re-exports; import from the files themselves`]
      : [];
  });
}

function violations(
  files: readonly SourceFile[],
  judge: (file: SourceFile, target: string, specifier: string) => string | undefined,
): string[] {
  return files.flatMap((file) =>
    file.imports.flatMap(({ specifier, target, line }) => {
      const fault = target === undefined ? undefined : judge(file, target, specifier);
      return fault === undefined ? [] : [`${file.path}:${line} ${fault}`];
    }),
  );
}

/** The folder of supabase/functions that a path is in. */
function functionOf(path: string): string | undefined {
  return /^supabase\/functions\/([^/]+)\//.exec(path)?.[1];
}
