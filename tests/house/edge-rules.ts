import { isTest, placeOf, type SourceFile } from "./source-file.ts";

/** Files of the stack that listen, each with the reason. */
const stackServers: ReadonlyMap<string, string> = new Map([
  ["scripts/stack/http-server.ts", "the one place where the gateway's and the receiver's ports are opened"],
  [
    "scripts/stack/functions/functions-host.deno.ts",
    "serves the edge functions as the platform's runtime does",
  ],
  ["scripts/stack/functions/function-worker.deno.ts", "is the isolated process of one function"],
  ["scripts/stack/ports.ts", "opens a port for a moment to see that it is free"],
]);

/** Files that hand the environment on to a program which they start, each with the reason. */
const environmentPassers: ReadonlyMap<string, string> = new Map([
  [
    "scripts/stack/functions/functions-server.ts",
    "Deno needs PATH and HOME, and nothing else of the environment",
  ],
  ["scripts/stack/migrations.ts", "the Supabase CLI finds its own settings in the environment"],
  ["scripts/stack/postgres-server.ts", "Postgres needs PATH, and nothing else of the environment"],
]);

/** Nothing but a function's index.ts and the stack's hosts starts a server. Tests may: a server is how they play the outside. */
export function serversOutsideTheEdge(files: readonly SourceFile[]): string[] {
  return search(files, /\bDeno\.(?:serve|listen|listenTls)\s*\(|\bcreate(?:Secure)?Server\s*\(/g, (path) =>
    isTest(path) || isEndpoint(path) || stackServers.has(path)
      ? undefined
      : "starts a server; only index.ts does",
  );
}

/** `Deno.*` only where a program begins, and in the file that reads a function's environment. */
export function denoOutsideTheEdge(files: readonly SourceFile[]): string[] {
  return search(files, /\bDeno\s*[.[]/g, (path) =>
    isEntry(path) || readsEnvironment(path) ? undefined : "uses Deno; take it as an argument",
  );
}

/**
 * `process.*` only where a program begins; the rest takes what it needs as arguments, so that its unit test needs no
 * mock. What no test would mock may be used anywhere: what the machine and the user are, and signals to others.
 */
export function processOutsideTheEdge(files: readonly SourceFile[]): string[] {
  const state = /\bprocess\s*(?:\.(?!(?:platform|arch|execPath|versions?|pid|getuid|getgid|kill)\b)|\[)/g;
  return search(files, state, (path) =>
    isTest(path) || isEntry(path) || readsEnvironment(path) || environmentPassers.has(path)
      ? undefined
      : "uses process; take it as an argument",
  );
}

/** How many lines of code an endpoint's index.ts may have. */
export const endpointLines = 12;

/** An endpoint's index.ts only says which entry of the catalog it serves. */
export function longEndpoints(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    if (!isEndpoint(file.path)) return [];
    const lines = file.code.split("\n").filter((line) => line.trim() !== "").length;
    if (lines <= endpointLines) return [];
    return [`${file.path} has ${lines} lines of code; ${endpointLines} are enough to name what it serves`];
  });
}

/** Default exports belong to what a runtime loads by convention: endpoints and tools' configuration. */
export function defaultExports(files: readonly SourceFile[]): string[] {
  return search(files, /^export default\b/gm, (path) =>
    isEndpoint(path) || path.endsWith(".config.ts") || path.startsWith("tests/setup/")
      ? undefined
      : "has a default export; export by name",
  );
}

/** Files that send a statement as text, each with the reason. */
const statementSenders: ReadonlyMap<string, string> = new Map([
  [
    "supabase/functions/_shared/statements.ts",
    "performs what SQL wrote from its parts and recorded: no request has a share in it",
  ],
]);

/** In functions SQL is only ever a tagged template, so that nothing of a request becomes part of a statement. */
export function untaggedSql(files: readonly SourceFile[]): string[] {
  return search(files, /\.unsafe\s*\(/g, (path) =>
    path.startsWith("supabase/functions/") && !isTest(path) && !statementSenders.has(path)
      ? "builds SQL from text; use a tagged template"
      : undefined,
  );
}

/** A function's index.ts; the bench deploys an empty one beside ours. */
function isEndpoint(path: string): boolean {
  return /^(?:supabase\/functions\/[^/_][^/]*|scripts\/bench\/empty-function)\/index\.ts$/.test(path);
}

function readsEnvironment(path: string): boolean {
  return path === "supabase/functions/_shared/env.ts";
}

/** Where a program begins: endpoints, main.ts, files that another program starts, configuration of tools. */
function isEntry(path: string): boolean {
  return (
    isEndpoint(path) ||
    /^scripts\/(?:[^/]+\/)*main\.ts$|^scripts\/run\.mjs$|\.deno\.ts$|-process\.mjs$/.test(path) ||
    /^[^/]+\.config\.ts$/.test(path)
  );
}

function search(
  files: readonly SourceFile[],
  pattern: RegExp,
  judge: (path: string) => string | undefined,
): string[] {
  return files.flatMap((file) => {
    const fault = judge(file.path);
    if (fault === undefined) return [];
    return [...file.code.matchAll(pattern)].map((match) => `${placeOf(file, match.index)} ${fault}`);
  });
}
