import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";

const skipped = new Set(["node_modules", ".git", ".stack", "coverage", ".temp", ".branches"]);

/** A text file of the project. */
export interface ProjectFile {
  /** Below the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** The paths of all files of the project in name order, without what is installed or made by a run. */
export function listProjectFiles(root: string): string[] {
  const found: string[] = [];
  const walk = (directory: string): void => {
    for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
      if (skipped.has(entry.name)) continue;
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) found.push(path);
    }
  };
  walk("");
  return found.sort();
}

/** Reads files of the project as text; those that hold a NUL are binary and are left out. */
export function readProjectFiles(root: string, paths: readonly string[]): ProjectFile[] {
  return paths.flatMap((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return text.includes("\0") ? [] : [{ path, text }];
  });
}

/** The project's files that were named on the command line, each by itself or by a folder above it. */
export function resolveNamed(
  root: string,
  from: string,
  names: readonly string[],
): { files: string[]; missing: string[] } {
  const all = names.length > 0 ? listProjectFiles(root) : [];
  const files = new Set<string>();
  const missing: string[] = [];
  for (const name of names) {
    const path = relative(root, resolve(from, name)).split(sep).join("/");
    const found = all.filter((file) => file === path || path === "" || file.startsWith(`${path}/`));
    if (found.length === 0) missing.push(name);
    for (const file of found) files.add(file);
  }
  return { files: [...files].sort(), missing };
}
